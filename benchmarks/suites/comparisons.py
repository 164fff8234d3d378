"""The comparisons that a suite asks for: accuracy at equal energy, and the ablation beside the paper's."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from conversion.errors import UnknownName

# A location in the block of a suite, and a sentence.
Problem = tuple[tuple[str | int, ...], str]
Techniques = Literal["AdaFire", "AdaFire + SSC", "AdaFire + IAT", "AdaFire + SSC + IAT"]


class IsoEnergy(BaseModel):
    """Accuracy of families of rows at equal energy.

    Attributes:
        budgets: energies, relative to the ANN's.
        families: glob patterns of method labels, by the name of the family.
        reference: the family that every other row is compared with at the row's own energy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    budgets: list[PositiveFloat] = Field(min_length=1)
    families: dict[str, list[str]] = Field(min_length=1)
    reference: str

    def problems(self, labels: Collection[str]) -> list[Problem]:
        """A reference that is no family, and patterns that match no method of the suite."""
        known = f"there are {', '.join(sorted(labels))}."
        found: list[Problem] = [
            (("families", family, index), f"'{pattern}' of the family '{family}' matches no method; {known}")
            for family, patterns in self.families.items()
            for index, pattern in enumerate(patterns)
            if not any(fnmatchcase(label, pattern) for label in labels)
        ]
        if self.reference not in self.families:
            said = str(UnknownName("family of iso_energy", self.reference, self.families))
            return [*found, (("reference",), said)]
        return found


class Ablation(BaseModel):
    """The ablation of the paper's Table 7: the effect of each technique.

    Attributes:
        paper: the paper's dataset whose rows are shown beside ours.
        baseline: label of the method that changes are relative to.
        rows: label of the method by its techniques, written as in "AdaFire + SSC".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    paper: Literal["CIFAR-10", "CIFAR-100", "ImageNet"]
    baseline: str
    rows: dict[Techniques, str]

    def problems(self, labels: Collection[str]) -> list[Problem]:
        """Labels of methods that the suite does not have."""
        named = [(("baseline",), self.baseline), *((("rows", key), label) for key, label in self.rows.items())]
        return [
            (where, str(UnknownName("method of the suite, named in its ablation,", label, labels)))
            for where, label in named
            if label not in labels
        ]
