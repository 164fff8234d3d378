"""Converts networks in ONNX files of others and compares them with onnxruntime.

`python -m benchmarks.performance.onnx_files FILE --shape 3,48,192` prints a row: the difference between the captured
network and onnxruntime, and that of the spiking network, which signed bursts approach. Images are lines of text on
plain paper, every second one upside down, with values from -1 to 1; or with `--photographs FOLDER` those of a folder,
cut to squares, from 0 to 1. Those that are measured are others than those of the calibration, unless `--seen` asks for
the same ones. Needs the package onnxruntime.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor
from torch.utils import _pytree as pytree

from benchmarks.conformance.outputs import relative_error
from conversion import BenchmarkError, capture, convert, simulate

LETTERS = list("ABCDEFGHKLMNabcdefgh 0123456789")


@dataclass(frozen=True)
class Figures:
    """What was measured of a file.

    Attributes:
        operations, layers: of the captured network; layers are those that become neurons.
        captured: largest difference of its output from onnxruntime's, relative to the largest value.
        spiking: relative error of the spiking network's mean output, in the Euclidean norm.
    """

    operations: int
    layers: int
    captured: float
    spiking: float
    seconds: float


def lines_of_text(count: int, shape: tuple[int, int, int], seed: int) -> Tensor:
    """Images of text with values between -1 and 1, shape (count, 3, height, width)."""
    _, height, width = shape
    draw = np.random.default_rng(seed)
    # A line in an image that is wide, three in others.
    lines = 1 if 2 * height <= width else 3
    found = []
    for index in range(count):
        image = Image.fromarray(np.full((height, width, 3), draw.integers(150, 256, 3), dtype=np.uint8))
        pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=max(6, int(0.6 * height / lines)))
        ink = tuple(int(value) for value in draw.integers(0, 90, 3))
        for line in range(lines):
            pen.text((4, (0.1 + line) * height / lines), "".join(draw.choice(LETTERS, 12)), fill=ink, font=font)
        turned = image.rotate(180) if index % 2 else image
        found.append(np.asarray(turned, dtype=np.float32) / 127.5 - 1)
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()


def photographs(count: int, shape: tuple[int, int, int], folder: Path) -> Tensor:
    """The middles of photographs of a folder and those below, in a random order, shape (count, 3, height, width).

    Raises:
        BenchmarkError: the folder has fewer.
    """
    _, height, width = shape
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpeg", ".jpg", ".png"))
    if len(files) < count:
        raise BenchmarkError(f"{folder} has {len(files)} photographs (JPEG or PNG), and {count} are needed.")
    found = []
    for at in np.random.default_rng(0).permutation(len(files))[:count]:
        with Image.open(files[at]) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.BILINEAR)
        found.append(np.asarray(fitted, dtype=np.float32) / 255)
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()


def measure(
    path: Path, calibration: Tensor, tested: Tensor, *, steps: int, phi: int, channelwise: bool
) -> Figures:  # fmt: skip
    """Converts the network of a file and compares it with onnxruntime.

    Args:
        path: the ONNX file.
        calibration, tested: images, those that the conversion sees and those that are measured.
        steps, phi, channelwise: of the signed bursts.

    Raises:
        BenchmarkError: onnxruntime is not installed, or the file cannot be captured.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BenchmarkError("The comparison needs onnxruntime: pip install onnxruntime.") from error
    started = time.perf_counter()
    graph = capture(path, calibration[:1])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    # Files may be for one sample at a time.
    given = session.get_inputs()[0].name
    outputs = [session.run(None, {given: image[None].numpy()}) for image in tested]
    wanted = torch.cat([torch.from_numpy(each[0]) for each in outputs])
    network = convert(
        graph, calibration, "burst", T=steps, phi=phi, channelwise=channelwise, signed=True, thresholds="max"
    )
    readout = simulate(network, tested, at=[steps], count=False)
    ours, spiking = (pytree.tree_leaves(output)[0] for output in (graph.run(tested), readout.mean(steps)))
    return Figures(
        len(graph.body) - len(graph.output_encoders), len(graph.firing),
        float((ours - wanted).abs().max() / wanted.abs().max()), relative_error(spiking, wanted),
        time.perf_counter() - started,
    )  # fmt: skip


def main(
    file: Path, shape: Annotated[str, typer.Option(help="Of an image: 3,height,width.")] = "3,48,192", steps: int = 64,
    phi: int = 15, images: Annotated[int, typer.Option(help="Of the calibration.")] = 16, samples: int = 4,
    seen: Annotated[bool, typer.Option("--seen", help="Measure on images of the calibration.")] = False,
    photos: Annotated[Path | None, typer.Option("--photographs", help="Folder of photographs to calibrate by.")] = None,
    held_out: Annotated[Path | None, typer.Option(help="Folder of other photographs, to measure on.")] = None,
    layerwise: Annotated[bool, typer.Option("--layerwise", help="One threshold for a layer, not a channel.")] = False,
) -> None:  # fmt: skip
    """Prints a row of the table."""
    channels, height, width = (int(side) for side in shape.split(","))
    size = (channels, height, width)
    calibration = lines_of_text(images, size, seed=0) if photos is None else photographs(images, size, photos)
    if seen:
        tested = calibration[:samples]
    elif photos is None:
        tested = lines_of_text(samples, size, seed=1)
    elif held_out is not None:
        tested = photographs(samples, size, held_out)
    else:
        raise BenchmarkError("Photographs to measure on are needed: --held-out FOLDER, or --seen for the same ones.")
    found = measure(file, calibration, tested, steps=steps, phi=phi, channelwise=not layerwise)
    print(
        f"| {file.name} | {shape} | {found.operations} | {found.layers} | {found.captured:.1e} | "
        f"{100 * found.spiking:.2g} % | {found.seconds:.0f} |"
    )


if __name__ == "__main__":
    try:
        typer.run(main)
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None
