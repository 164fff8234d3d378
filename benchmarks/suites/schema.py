"""The JSON schema of suite files, from which editors complete and check them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from adapters import NETWORKS
from benchmarks.suites.suite import Entry, Suite
from conversion.counting.prices import PRICES
from conversion.methods import METHODS
from tasks import TASKS


def suite_schema() -> dict[str, Any]:
    """The JSON schema of suite files: their keys, all registered names, and the options of every method."""
    models: list[type[BaseModel]] = [Suite, Entry, *(METHODS[name] for name in METHODS)]
    references, schema = models_json_schema([(model, "validation") for model in models])
    definitions: dict[str, Any] = schema["$defs"]

    def key(model: type[BaseModel]) -> str:
        # Classes of one name from two packages get longer keys.
        return str(references[model, "validation"]["$ref"]).removeprefix("#/$defs/")

    block = definitions[key(Entry)]
    block["allOf"] = [
        {
            "if": {"properties": {"networks": {"contains": {"enum": networks}}}},
            "then": {"properties": {"tasks": {"items": {"enum": list(tasks)}}}},
        }
        for tasks, networks in _fitting().items()
    ]
    entry = block["properties"]
    entry["tasks"]["items"]["enum"] = list(TASKS)
    entry["networks"]["items"]["enum"] = list(NETWORKS)
    bare, optioned = [], {}
    for name in METHODS:
        method = definitions[key(METHODS[name])]
        if not method.get("required"):
            bare.append({"const": name, "description": method.get("description", "")})
        optioned[name] = references[METHODS[name], "validation"]
    with_options = {"type": "object", "properties": optioned, "additionalProperties": False, "minProperties": 1}
    entry["methods"]["items"] = {"anyOf": [*bare, with_options]}
    suite = definitions.pop(key(Suite))
    suite["properties"]["price_list"]["enum"] = sorted(PRICES)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **suite, "$defs": definitions}


def _fitting() -> dict[tuple[str, ...], list[str]]:
    """The networks, grouped by the tasks that they fit."""
    tasks = [TASKS[name]() for name in TASKS]
    found: dict[tuple[str, ...], list[str]] = {}
    for name in NETWORKS:
        found.setdefault(tuple(task.name for task in tasks if NETWORKS[name].fits(task) is None), []).append(name)
    return found


def schema_text() -> str:
    """The schema as it is committed beside the suites."""
    return json.dumps(suite_schema(), indent=1) + "\n"
