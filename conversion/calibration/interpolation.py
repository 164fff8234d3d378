"""Sensitivity tables of a few candidates, filled up to all of them.

Divergence and energy of a layer are smooth in its threshold ratio, and what a hundred samples say of one ratio is
noisy. A curve through a few well separated ones takes less time to measure, and a search that picks the best of many
entries has less noise to mistake for a gain (docs/adaptive.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conversion.calibration.sensitivity import Sensitivity


def interpolated(table: Sensitivity, measured: Sequence[float], wanted: Sequence[float]) -> Sensitivity:
    """A table of more candidates from one of some of them, by monotone cubics through the logarithm of the ratio.

    Between two measured entries no other is above or below both (PCHIP, Fritsch and Butland 1984); measured entries
    stay as they are.

    Args:
        table: divergence and energy at the measured ratios, in every row.
        measured: ascending positive ratios.
        wanted: ratios of the entries to return, each between the first and the last measured one.
    """
    # Here, because it takes a moment to load.
    from scipy.interpolate import PchipInterpolator

    known = {ratio: column for column, ratio in enumerate(measured)}

    def filled(row: Sequence[float]) -> tuple[float, ...]:
        curve = PchipInterpolator(np.log(measured), row, extrapolate=False)(np.log(wanted))
        return tuple(row[known[ratio]] if ratio in known else float(y) for ratio, y in zip(wanted, curve, strict=True))

    return Sensitivity(
        tuple(filled(row) for row in table.divergence), tuple(filled(row) for row in table.energy), table.base
    )
