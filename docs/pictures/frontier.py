"""Draws accuracy against energy of CIFAR-10 from the published tables: python docs/pictures/frontier.py"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[2]
PICTURE = Path(__file__).parent / "cifar10-frontier.png"
BELOW = 46

# Suite, method as tables name it, how it is called here, colour (Okabe and Ito's, told apart by all readers).
LINES = (
    ("cifar10", "calibration", "SNN Calibration (one spike a step)", "#999999"),
    ("cifar10", "burst:phi=2", "bursts of up to 2 spikes", "#56b4e9"),
    ("cifar10", "burst:phi=4", "bursts of up to 4", "#0072b2"),
    ("cifar10", "burst:phi=8", "bursts of up to 8", "#000000"),
    ("adaptive", "adafire", "AdaFire", "#e69f00"),
    ("adaptive", "adafire_ssc", "AdaFire + SSC", "#d55e00"),
    ("adaptive", "adafire_iat:base=0.995,scale=0.005", "AdaFire + IAT (early exit)", "#009e73"),
    ("adaptive", "energy_aware:energy=0.005", "energy-aware thresholds", "#cc79a7"),
)


def rows(suite: str, method: str) -> pd.DataFrame:
    """T, accuracy and unary energy in percent of the ANN's, of one method on all test images."""
    table = pd.read_csv(ROOT / f"results/published/{suite}/results.csv")
    table = table[(table["method"] == method) & (table["profile"] == "full") & (table["metric"] == "accuracy")]
    assert len(table), f"results/published/{suite}/results.csv has no row of {method}"
    energy = 100 * table["energy_unary_mJ"] / table["energy_ann_mJ"]
    return table.assign(energy=energy).sort_values("T")[["T", "value", "energy", "ann_value"]]


def draw() -> None:
    matplotlib.use("agg")
    figure, axes = plt.subplots(figsize=(8.4, 4.4), layout="constrained")
    for suite, method, name, colour in LINES:
        table = rows(suite, method)
        axes.plot(table["energy"], table["value"], "o-", color=colour, label=name, markersize=4, linewidth=1.5)
        for T, value, energy in table[["T", "value", "energy"]].to_numpy(float).tolist():
            if value > BELOW and method in ("calibration", "burst:phi=2"):
                axes.annotate(
                    f"T={T:.0f}", (energy, value), (5, -9), textcoords="offset points", fontsize=7, color=colour
                )
    ann = rows("cifar10", "calibration")["ann_value"].iloc[0]
    axes.axhline(ann, color="#666666", linestyle=":", linewidth=1)
    axes.annotate(f"ANN {ann:.2f} %", (6.3, ann), (0, 3), textcoords="offset points", fontsize=8, color="#666666")
    axes.set(
        xscale="log", xlim=(6, 150), ylim=(BELOW, 94), ylabel="accuracy, %",
        xlabel="energy, % of the ANN's, every spike of a burst priced",
        title="CIFAR-10, ResNet-20, 10,000 test images, T = 1, 2, 4, 8",
    )  # fmt: skip
    ticks = (7, 10, 20, 30, 50, 70, 100)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(PICTURE, dpi=130, metadata={"Software": ""})
    print(f"Written: {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    draw()
