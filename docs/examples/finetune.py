"""Fine-tunes a converted network through its spikes: ResNet-20 on CIFAR-10, T = 2, one epoch on 2,000 training images.

python docs/examples/finetune.py --data-root DATA --weights DATA
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from adapters import NETWORKS, find_weights, load_weights
from conversion import SpikingModule, capture, convert
from conversion.modules.surrogate import triangle
from tasks import TASKS

# Softens the outputs, which are all but certain on training images (Hinton et al., 2015).
TEMPERATURE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=int, default=2000, help="training images of the epoch")
    parser.add_argument("--test", type=int, default=2000, help="test images to score")
    options = parser.parse_args()
    torch.manual_seed(0)

    task = TASKS["cifar10"](options.data_root)
    adapter = NETWORKS["resnet20"](task)
    ann = adapter.build()
    load_weights(ann, find_weights("resnet20", "cifar10", options.weights))
    every = task.split("train")
    drawn = torch.randperm(len(every))[: options.images].tolist()  # type: ignore[arg-type]
    train = DataLoader(Subset(every, drawn), batch_size=50)
    calibration = adapter.encode(task.calibration(256, seed=0)).split(64)

    graph = capture(ann.eval(), calibration[0][:1])
    module = SpikingModule(convert(graph, calibration, "burst", T=2, phi=2), surrogate=triangle)

    @torch.no_grad()
    def accuracy(model: nn.Module) -> float:
        batches = task.test(batch_size=200, limit=options.test)
        right = [model(adapter.encode(batch.inputs)).argmax(1).eq(batch.targets) for batch in batches]
        return 100 * float(torch.cat(right).double().mean())

    def energy() -> float:
        return float(module.energy(calibration[0])["share"]["SNN, unary"])

    print(f"ANN {accuracy(ann):.2f} %")
    print(f"converted, T = 2: {accuracy(module):.2f} % at {energy():.1%} of its energy")
    optimizer = torch.optim.Adam(module.parameters(), 3e-4)
    for images, _ in train:
        inputs = adapter.encode(images)
        with torch.no_grad():
            teacher: Tensor = ann(inputs) / TEMPERATURE
        optimizer.zero_grad()
        student = module(inputs) / TEMPERATURE
        loss = nn.functional.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="batchmean")
        (TEMPERATURE**2 * loss).backward()
        optimizer.step()
    print(f"fine-tuned: {accuracy(module):.2f} % at {energy():.1%}")


if __name__ == "__main__":
    main()
