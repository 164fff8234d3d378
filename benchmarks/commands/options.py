"""The options of the command line, as typer reads them. The module loads nothing that help pages do not need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import choices
from benchmarks.commands import completion

# Of every command that selects cells of a suite.
Suite = Annotated[
    str,
    typer.Option(
        "--suite",
        help="A suite by name, paper for all its tables, or the path of a suite file.",
        autocompletion=completion.suites,
    ),
]
Task = Annotated[
    list[str] | None,
    typer.Option("--task", help="Only these tasks; globs; repeatable.", autocompletion=completion.of_suite("tasks")),
]
Network = Annotated[
    list[str] | None,
    typer.Option(
        "--network",
        help="Only these networks; globs; repeatable. timm/NAME, torchvision/NAME and hf/PATH replace the suite's.",
        autocompletion=completion.of_suite("networks"),
    ),
]
Method = Annotated[
    list[str] | None,
    typer.Option(
        "--method", help="Only these methods; globs; repeatable.", autocompletion=completion.of_suite("methods")
    ),
]
Steps = Annotated[
    list[int] | None,
    typer.Option("--T", help="Only these numbers of timesteps; repeatable.", autocompletion=completion.of_suite("T")),
]
Seed = Annotated[list[int] | None, typer.Option("--seed", help="Only these seeds; repeatable.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Measure the first N test samples of a fixed shuffle.")]
ReadLimit = Annotated[int | None, typer.Option("--limit", min=1, help="The records measured with --limit N.")]
Energy = Annotated[
    float | None,
    typer.Option(
        "--energy", min=0, help="Share of the ANN's energy that methods aim at, of those of the suite that can."
    ),
]
ReadEnergy = Annotated[float | None, typer.Option("--energy", min=0, help="The records measured with --energy SHARE.")]
Prices = Annotated[str | None, typer.Option("--price-list", help="Price energy by this list, not the suite's.")]
Results = Annotated[Path, typer.Option("--results", help="Where records and tables go.")]

# Of every command that measures.
Data = Annotated[Path | None, typer.Option("--data-root", envvar="ACB_DATA", help="Folder of the datasets.")]
Weights = Annotated[Path, typer.Option("--weights", envvar="ACB_WEIGHTS", help="Folder of trained networks.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
Precision = Annotated[choices.Precision, typer.Option(help="Of weights and activations.")]
Engine = Annotated[choices.EngineName, typer.Option(help="Where cells are measured.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Cells measured at once.")]
Address = Annotated[
    str | None, typer.Option(help="Of a Ray cluster, for --engine ray, or auto; without it one is started here.")
]
Rerun = Annotated[choices.Rerun, typer.Option(help="Which finished cells to run again.")]

# Of run and train.
Log = Annotated[
    list[str] | None,
    typer.Option("--log", help="Write curves to tensorboard:DIR, mlflow:ADDRESS or wandb:PROJECT; repeatable."),
]

# Of figures and tables.
Suites = Annotated[
    str,
    typer.Option("--suite", help="A suite as of run, or several, by commas.", autocompletion=completion.suites),
]
Figures = Annotated[
    list[str] | None,
    typer.Option("--figure", help="By name, or by the paper's number; repeatable."),
]
TableFormat = Annotated[choices.TableFormat | None, typer.Option("--format", help="All of them when left out.")]
To = Annotated[Path | None, typer.Option("--to", help="Folder of the files; one beside the records when left out.")]

# Of paper, report, gate, publish, verify, list, check, doctor and train.
PlanOnly = Annotated[bool, typer.Option("--plan", help="Say what is missing and what would run; measure nothing.")]
Train = Annotated[bool, typer.Option("--train", help="Train the networks without weights first; may take days.")]
Pictures = Annotated[
    int | None, typer.Option(min=0, help="T of the pictures; 0 draws none, the fewest steps when left out.")
]
Baseline = Annotated[Path, typer.Option(help="The JSON file of a baseline; its samples lie beside it.")]
GatedSuite = Annotated[
    str | None,
    typer.Option(
        "--suite", help="Whose records to compare; the baseline's when left out.", autocompletion=completion.suites
    ),
]
Update = Annotated[bool, typer.Option("--update", help="Take the records of --suite as the new baseline.")]
Markdown = Annotated[Path | None, typer.Option(help="Write the verdicts to this file as Markdown.")]
Junit = Annotated[Path | None, typer.Option(help="Write the verdicts to this file as JUnit XML.")]
Published = Annotated[Path, typer.Option("--to", help="Folder of the published suites.")]
DatasetFolder = Annotated[Path, typer.Option("--to", help="Folder of the files.")]
Push = Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="Upload it to this dataset of the hub.")]
Cells = Annotated[int, typer.Option(min=1, help="How many cells, cheap ones of each method first.")]
Draw = Annotated[int, typer.Option("--seed", help="Draws the cells.")]
RecordOutcome = Annotated[bool, typer.Option("--record", help="Keep the outcome with the published suite.")]
Listed = Annotated[choices.Listed, typer.Argument(help="What to list.")]
Checked = Annotated[
    str,
    typer.Argument(
        help="A method, with options as in burst:phi=4; a task; or a network.", autocompletion=completion.anything
    ),
]
Kind = Annotated[choices.Kind | None, typer.Option(help="Where a name means several things.")]
AnyTask = Annotated[
    list[str] | None,
    typer.Option(
        "--task", help="These tasks, with layouts and addresses; globs; repeatable.",
        autocompletion=completion.shipped("tasks"),
    ),
]  # fmt: skip
CheckedSuite = Annotated[
    str | None,
    typer.Option(
        "--suite", help="The tasks of this suite, with layouts and addresses.", autocompletion=completion.suites
    ),
]
TrainedTask = Annotated[
    str, typer.Option("--task", "--dataset", help="What to train on.", autocompletion=completion.shipped("tasks"))
]
TrainedNetwork = Annotated[
    str,
    typer.Option(
        "--network", "--arch", help="What to train, also as the released scripts name it.",
        autocompletion=completion.shipped("networks"),
    ),
]  # fmt: skip
Epochs = Annotated[int | None, typer.Option(help="In place of the network's recipe.")]
BatchSize = Annotated[int | None, typer.Option(help="In place of the network's recipe.")]
LearningRate = Annotated[float | None, typer.Option(help="In place of the network's recipe.")]
TrainingPrecision = Annotated[choices.TrainingPrecision, typer.Option(help="bfloat16 is mixed precision.")]
Backbone = Annotated[Path | None, typer.Option(help="Pretrained weights to start from; docs/training.md.")]
Resume = Annotated[bool, typer.Option(help="Continue an interrupted run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace weights that are there already.")]

# Of serve and compare.
Port = Annotated[int, typer.Option(min=0, max=65535, help="On loopback; 0 takes a free one.")]
First = Annotated[
    str,
    typer.Argument(help="The results of a suite, a folder of such folders, or a commit: COMMIT or COMMIT:FOLDER."),
]
Second = Annotated[str, typer.Argument(help="What it is compared with.")]

# Of convert: what it converts, and the flags of the released scripts.
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset", "--task", help="A task, as `list tasks` names it.", autocompletion=completion.shipped("tasks")
    ),
]
Arch = Annotated[
    str,
    typer.Option(
        "--arch", "--network", help="A network, as `list networks` or the released scripts name it.",
        autocompletion=completion.shipped("networks"),
    ),
]  # fmt: skip
OneSteps = Annotated[int, typer.Option("--T", min=1, max=2**31 - 1, help="Timesteps.")]
Calib = Annotated[choices.CalibrationName | None, typer.Option(help="light when left out.")]
Maxspike = Annotated[int | None, typer.Option(min=1, help="phi, and the target of --search; as released.")]
Search = Annotated[bool, typer.Option("--search", help="AdaFire: choose phi for each layer.")]
MaxspikeRatio = Annotated[
    float | None, typer.Option("--maxspike_ratio", "--maxspike-ratio", help="Energy budget of --search; 1.0.")
]
Initialspike = Annotated[int | None, typer.Option(min=1, help="Largest phi of --search; as released.")]
DesiredSpike = Annotated[
    int | None, typer.Option("--desired_spike", "--desired-spike", help="Has to be that of --maxspike.")
]
Minspike = Annotated[int | None, typer.Option(min=1, help="Smallest phi of --search; as released.")]
SearchThreshold = Annotated[
    bool, typer.Option("--search_threshold", "--search-threshold", help="SSC: enlarge thresholds.")
]
ThresholdRatio = Annotated[
    float | None,
    typer.Option("--threshold_ratio", "--threshold-ratio", help="Error budget of --search_threshold; 1.0."),
]
Iat = Annotated[bool, typer.Option("--iat", help="IAT: samples leave when the network is sure.")]
OneMethod = Annotated[
    str | None,
    typer.Option(
        "--method", help="In place of these flags: burst, burst:phi=4 ...", autocompletion=completion.shipped("methods")
    ),
]
Calibration = Annotated[int, typer.Option(min=1, help="Training samples that the conversion may look at.")]
Output = Annotated[Path | None, typer.Option(help="Write records and report to this file as JSON.")]
Save = Annotated[Path | None, typer.Option(help="Keep the converted network; conversion.load reads it.")]

# Of export.
Format = Annotated[choices.ExportFormat, typer.Option(help="nir for spikes, onnx for the quantised twin.")]
Exported = Annotated[Path, typer.Option("--output", help="The file to write; a trace of NIR lies beside it.")]
ExportedMethod = Annotated[
    str | None,
    typer.Option(
        "--method", help="burst:phi=1,start=shift ...; calibration (nir) or quantised_ann (onnx) when left out.",
        autocompletion=completion.shipped("methods"),
    ),
]  # fmt: skip
ExportedSteps = Annotated[int | None, typer.Option("--T", min=1, max=2**31 - 1, help="Timesteps.")]
Converted = Annotated[Path | None, typer.Option(help="A file of convert --save, in place of --method and --T.")]
Samples = Annotated[
    int | None, typer.Option(min=1, help="Test samples to trace (nir; 16) or to compare with onnxruntime (onnx; 1000).")
]

# Of cache.
Keep = Annotated[
    float | None, typer.Option(min=0, help="Remove what was used longest ago until so many GiB of each cache are left.")
]
Clean = Annotated[bool, typer.Option("--clean", help="Remove all of it; it is made again when it is needed.")]
