"""The flags of the scripts released with the Adaptive Calibration paper, as methods of this benchmark.

What each flag meant there: docs/report.md.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from conversion.errors import InvalidInput

Named = tuple[str, dict[str, Any]]


class Flags(BaseModel):
    """One command line of the released scripts; a flag that was not given is None.

    Attributes:
        calib: which calibration follows the thresholds.
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
    calib: Literal["light", "advanced", "none"] | None = None
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


# What the released scripts for CIFAR take when a flag is left out; the ratios as in their README.
MAXSPIKE, INITIALSPIKE, MINSPIKE, RATIO = 4, 8, 1, 1.0


def released_method(flags: Flags) -> Named:
    """The method, with its options, that the released scripts run for these flags.

    Raises:
        InvalidInput: flags that contradict each other, would be ignored, or ask for what there is no method for.
    """
    _refuse_idle(flags)
    phi = MAXSPIKE if flags.maxspike is None else flags.maxspike
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
        return _adafire(flags, phi, light)
    if flags.iat:
        return "calibration_iat", {"light": light}
    if phi == 1:
        return "calibration", {"light": light}
    return "burst", {"phi": phi, "thresholds": "mse_floor", "start": "shift", "light": light}


def named_method(label: str) -> Named:
    """A method as tables print it, "burst:phi=4,light=False"; values are checked where the method is made."""
    name, _, rest = label.partition(":")
    pairs = [pair.partition("=") for pair in rest.split(",") if rest]
    for option, equals, value in pairs:
        if not (option and equals and value):
            raise InvalidInput(f"The method '{label}' cannot be read; write it as burst:phi=4,light=False.")
    return name, {option: value for option, _, value in pairs}


def chosen_method(flags: Flags, label: str | None) -> Named:
    """The method of the flags, or the one that is named in their place.

    Raises:
        InvalidInput: both were given, or the flags do not go together.
    """
    if label is None:
        return released_method(flags)
    if flags.given():
        raise InvalidInput(f"--method takes the place of {', '.join(flags.given())}; give one or the other.")
    return named_method(label)


def _adafire(flags: Flags, phi: int, light: bool) -> Named:
    """AdaFire with what follows it. Without --search it may choose the one phi only, which leaves SSC and IAT."""
    name = "adafire" + "_ssc" * flags.search_threshold + "_iat" * flags.iat
    options: dict[str, Any] = {"phi": phi, "phi_init": phi, "phi_min": phi, "budget": RATIO, "light": light}
    if flags.search:
        options["phi_init"] = INITIALSPIKE if flags.initialspike is None else flags.initialspike
        options["phi_min"] = MINSPIKE if flags.minspike is None else flags.minspike
        options["budget"] = RATIO if flags.maxspike_ratio is None else flags.maxspike_ratio
        if not options["phi_min"] <= phi <= options["phi_init"]:
            raise InvalidInput(
                f"The search chooses between --minspike {options['phi_min']} and --initialspike "
                f"{options['phi_init']}, but its budget is the energy at --maxspike {phi}; give one in between."
            )
    if flags.search_threshold:
        options["ssc_budget"] = RATIO if flags.threshold_ratio is None else flags.threshold_ratio
    return name, options


def _refuse_idle(flags: Flags) -> None:
    """The released scripts ignore these without a word."""
    idle = ("maxspike_ratio", "initialspike", "desired_spike", "minspike")
    for name, owner in [*((name, "search") for name in idle), ("threshold_ratio", "search_threshold")]:
        if getattr(flags, name) is not None and not getattr(flags, owner):
            raise InvalidInput(f"--{name} does nothing without --{owner}; add that flag or drop this one.")
    target = MAXSPIKE if flags.maxspike is None else flags.maxspike
    if flags.desired_spike not in (None, target):
        raise InvalidInput(
            f"--desired_spike is {flags.desired_spike} and --maxspike {target}, but the released scripts overwrite the "
            "one by the other; give the phi that you aim at as --maxspike."
        )
