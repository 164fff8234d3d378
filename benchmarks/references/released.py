"""The flags of the scripts released with the Adaptive Calibration paper, as methods and networks of this benchmark.

What each flag meant there: docs/report.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict

from adapters import NETWORKS
from benchmarks.choices import CalibrationName
from conversion.errors import InvalidInput
from conversion.methods import METHODS
from tasks import TASKS
from tasks.detection.base import Detection
from tasks.events.base import EventTask
from tasks.images.base import ImageClassification

Named = tuple[str, dict[str, Any]]


class Flags(BaseModel):
    """One command line of the released scripts; a flag that was not given is None.

    Attributes:
        calib: the calibration after the thresholds.
        maxspike: phi; with `search` the phi whose energy the search may spend.
        search: AdaFire chooses phi for each layer.
        maxspike_ratio: energy budget of the search, relative to `maxspike` everywhere.
        initialspike: phi that the search starts from, and the largest it chooses.
        desired_spike: the released script overwrites it by `maxspike`, so it has to be the same.
        minspike: smallest phi that the search chooses.
        search_threshold: SSC enlarges thresholds.
        threshold_ratio: error budget of SSC, relative to no enlargement.
        iat: samples leave when the network is sure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    calib: CalibrationName | None = None
    maxspike: int | None = None
    search: bool = False
    maxspike_ratio: float | None = None
    initialspike: int | None = None
    desired_spike: int | None = None
    minspike: int | None = None
    search_threshold: bool = False
    threshold_ratio: float | None = None
    iat: bool = False

    def given(self) -> list[str]:
        """The flags that were given, as they are spelt."""
        return [f"--{name}" for name, value in self if value is not None and value is not False]


@dataclass(frozen=True)
class Defaults:
    """The defaults of the released scripts' flags. They differ between families of datasets."""

    maxspike: int = 4
    initialspike: int = 8
    minspike: int = 1

    def target(self, flags: Flags) -> int:
        """phi; with a search, the phi whose energy is its budget.

        For event cameras the released target is 1 where the smallest phi is 2; the search then compares with the energy
        of 2.
        """
        if flags.maxspike is not None:
            return flags.maxspike
        smallest = self.minspike if flags.minspike is None else flags.minspike
        return max(self.maxspike, smallest) if flags.search else self.maxspike


# The scripts for CIFAR and point clouds; for ImageNet and detection; for event cameras.
CIFAR, LARGE, EVENTS = Defaults(), Defaults(8, 16, 2), Defaults(1, 8, 2)
IMAGENET_SIDE = 160
"""Least height and width of images of the ImageNet family: ImageNet's, and subsets of it."""
# The value in the README of the scripts, whose own defaults lie between 0.95 and 1.
RATIO = 1.0


def defaults_of(dataset: str) -> Defaults:
    """The defaults of the released script for datasets of this family."""
    task = TASKS[dataset]()
    if isinstance(task, EventTask):
        return EVENTS
    large = isinstance(task, ImageClassification) and min(task.input_shape[-2:]) >= IMAGENET_SIDE
    return LARGE if large or isinstance(task, Detection) else CIFAR


def released_network(dataset: str, arch: str) -> str:
    """The network that the released scripts call `arch` on this dataset.

    For event cameras it is `event_<arch>`, for photographs torchvision's.

    Raises:
        UnknownName: there is no such task or network.
        InvalidInput: the network is for other tasks.
    """
    task = TASKS[dataset]()
    ours = (f"event_{arch}", f"torchvision/{arch}")
    found = next((name for name in ours if name in NETWORKS and NETWORKS[name].fits(task) is None), arch)
    NETWORKS[found](task)
    return found


def released_method(flags: Flags, defaults: Defaults = CIFAR) -> Named:
    """The method, with its options, that the released scripts run for these flags.

    Raises:
        InvalidInput: flags that contradict each other, would be ignored, or ask for what there is no method for.
    """
    _refuse_idle(flags, defaults)
    phi = defaults.target(flags)
    if phi < 1:
        raise InvalidInput(f"--maxspike is {phi}, but a neuron fires at least 1 spike per step; give 1 or more.")
    light = flags.calib != "none"
    searched = flags.search or flags.search_threshold or (flags.iat and phi > 1)
    if flags.calib == "advanced":
        if searched or flags.iat or phi > 1:
            raise InvalidInput(
                "There is no method for --calib advanced with bursts, a search or early exit: the released scripts do "
                "there what --calib light does, or call what they do not contain. Say --calib light, or --maxspike 1 "
                "without the others."
            )
        return "calibration_advanced", {}
    if searched:
        return _adafire(flags, phi, light, defaults)
    if flags.iat:
        return "calibration_iat", {"light": light}
    if phi == 1:
        return "calibration", {"light": light}
    return "burst", {"phi": phi, "thresholds": "mse_floor", "start": "shift", "light": light}


def named_method(label: str) -> Named:
    """Parses a method's label, "burst:phi=4,light=False"; values are checked when the method is made.

    Raises:
        InvalidInput: it cannot be read, or lacks an option that the method needs.
    """
    name, _, rest = label.partition(":")
    pairs = [pair.partition("=") for pair in rest.split(",") if rest]
    for option, equals, value in pairs:
        if not (option and equals and value):
            raise InvalidInput(f"The method '{label}' cannot be read; write it as burst:phi=4,light=False.")
    options = {option: value for option, _, value in pairs}
    fields = METHODS[name].model_fields if name in METHODS else {}
    missing = [option for option, field in fields.items() if field.is_required() and option not in options]
    if missing and options.keys() <= fields.keys():
        option, kind = missing[0], fields[missing[0]].annotation
        example = f"{label}{',' if rest else ':'}{option}={4 if int in (kind, *get_args(kind)) else 'VALUE'}"
        raise InvalidInput(f"Method '{name}' needs the option '{option}'; give it as {example}.")
    return name, options


def chosen_method(flags: Flags, label: str | None, defaults: Defaults = CIFAR) -> Named:
    """The method of the flags, or the one that is named in their place.

    Raises:
        InvalidInput: both were given, or the flags do not go together.
    """
    if label is None:
        return released_method(flags, defaults)
    if flags.given():
        raise InvalidInput(f"--method takes the place of {', '.join(flags.given())}; give one or the other.")
    return named_method(label)


def _adafire(flags: Flags, phi: int, light: bool, defaults: Defaults) -> Named:
    """AdaFire with SSC and IAT as asked for. Without --search it can choose one phi only, which leaves SSC and IAT."""
    name = "adafire" + "_ssc" * flags.search_threshold + "_iat" * flags.iat
    options: dict[str, Any] = {"phi": phi, "phi_init": phi, "phi_min": phi, "budget": RATIO, "light": light}
    if flags.search:
        options["phi_init"] = defaults.initialspike if flags.initialspike is None else flags.initialspike
        options["phi_min"] = defaults.minspike if flags.minspike is None else flags.minspike
        options["budget"] = RATIO if flags.maxspike_ratio is None else flags.maxspike_ratio
        if not options["phi_min"] <= phi <= options["phi_init"]:
            raise InvalidInput(
                f"The search chooses between --minspike {options['phi_min']} and --initialspike "
                f"{options['phi_init']}, but its budget is the energy at --maxspike {phi}; give one in between."
            )
    if flags.search_threshold:
        options["ssc_budget"] = RATIO if flags.threshold_ratio is None else flags.threshold_ratio
    return name, options


def _refuse_idle(flags: Flags, defaults: Defaults) -> None:
    """Raises InvalidInput for flags without effect, which the released scripts ignore."""
    idle = ("maxspike_ratio", "initialspike", "desired_spike", "minspike")
    for name, owner in [*((name, "search") for name in idle), ("threshold_ratio", "search_threshold")]:
        if getattr(flags, name) is not None and not getattr(flags, owner):
            raise InvalidInput(f"--{name} does nothing without --{owner}; add that flag or drop this one.")
    target = defaults.target(flags)
    if flags.desired_spike not in (None, target):
        raise InvalidInput(
            f"--desired_spike is {flags.desired_spike} and --maxspike {target}, but the released scripts overwrite the "
            "one by the other; give the phi that you aim at as --maxspike."
        )
