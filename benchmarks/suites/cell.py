"""A cell: one row of a table before it is measured."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from conversion.methods import METHODS, Method, make_method

STEPS = 2**31 - 1
"""The largest number of timesteps of a cell, as tables and files of converted networks hold it."""
MOST_RECIPES = 10_000
_recipes: dict[tuple[type[Method], str], tuple[Method, dict[str, Any]]] = {}


class Cell(BaseModel):
    """One measurement, as a frozen value: task x network x method x T x seed x profile.

    Attributes:
        method: name of the method; `options` are its options.
        T: timesteps that the network is converted for; None where the method does not depend on it.
        seed: seed of the calibration subset.
        limit: number of test samples, the first of one fixed shuffle; None for all.
        calibration: number of training samples that the conversion may look at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: str
    network: str
    method: str
    options: dict[str, Any] = Field(default_factory=dict)
    T: int | None
    seed: int
    limit: int | None = None
    calibration: int

    @model_validator(mode="after")
    def _canonical(self) -> Self:
        """Options at their default are left out, so that one method has one identity."""
        object.__setattr__(self, "options", dict(_made(self.method, self.options)[1]))
        return self

    def __copy__(self) -> Self:
        """What a copy with other fields is made from, which has another recipe and another name."""
        copied = super().__copy__()
        for name in ("recipe", "label", "id"):
            copied.__dict__.pop(name, None)
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        """Without what is made of the fields: methods of plug-ins are loaded anew where it is read."""
        state = super().__getstate__()
        fields = type(self).model_fields
        return state | {"__dict__": {name: value for name, value in state["__dict__"].items() if name in fields}}

    @cached_property
    def recipe(self) -> Method:
        """The conversion method, ready to run."""
        return _made(self.method, self.options)[0]

    @property
    def profile(self) -> str:
        """The part of the test split that is measured, "full" or "first-N"; profiles are never mixed in one table."""
        return "full" if self.limit is None else f"first-{self.limit}"

    @cached_property
    def label(self) -> str:
        """The cell in a few words, for logs."""
        steps = [] if self.T is None else [f"T={self.T}"]
        seed = [f"seed={self.seed}"] if self.seed else []
        return " ".join([self.task, self.network, self.recipe.label, *steps, *seed, self.profile])

    @cached_property
    def id(self) -> str:
        """A stable name: the main fields in plain text, and a hash of all of them."""
        spec = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        digest = hashlib.sha256(spec.encode()).hexdigest()[:10]
        # Names of networks may have a slash: "ultralytics/yolov8n".
        network = self.network.replace("/", "-")
        return f"{self.task}-{network}-{self.method}-T{self.T or 0}-{digest}"


def _made(method: str, options: dict[str, Any]) -> tuple[Method, dict[str, Any]]:
    """A method with options, and those that are not at their default; the same for cells of other seeds and steps.

    Errors as of `make_method`.
    """
    if method not in METHODS:
        make_method(method, **options)  # Which says what is wrong.
    # By its class: a name may be registered anew. The text of options tells 1 from 1.0 and from True.
    key = METHODS[method], repr(options)
    if key not in _recipes:
        made = make_method(method, **options)
        if len(_recipes) >= MOST_RECIPES:
            _recipes.clear()
        _recipes[key] = made, made.model_dump(exclude_defaults=True)
    return _recipes[key]
