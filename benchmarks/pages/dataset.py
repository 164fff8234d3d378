"""A published suite as the folder of a dataset for Hugging Face's `datasets`: Parquet files and a card.

`rows.parquet` is the tidy table, `samples.parquet` the outcome of every test sample; each is a configuration of the
dataset. Records and manifest lie beside them as they were published. The same suite gives the same files.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.pages.markdown import table
from benchmarks.pages.tables import INTEGERS, NUMBERS, collect
from benchmarks.records.manifest import MANIFEST
from benchmarks.records.published import RECORDS, SAMPLES, PublishedSuite
from benchmarks.suites.suite import Suite
from benchmarks.text import one_line, page
from conversion.errors import InvalidInput
from conversion.files import write_atomically
from tasks import TASKS

CARD, ROWS = "README.md", "rows.parquet"
LICENCE = "apache-2.0"
"""Of the results, by the name that the hub has for it: that of the benchmark."""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's names for numbers of rows below a bound."""
LARGEST = "1M<n<10M"


@dataclass(frozen=True)
class DatasetFolder:
    """A folder that was written.

    Attributes:
        files: names of its files, the card first.
        rows: number of rows by configuration.
    """

    folder: Path
    files: Sequence[str]
    rows: dict[str, int]


def write_dataset(suite: Suite, published: PublishedSuite, folder: Path) -> DatasetFolder:
    """Writes the folder of a published suite; other files in it stay.

    Raises:
        InvalidInput: files of these names are there that are not a dataset of this suite.
    """
    tables = {ROWS: _rows(suite, published)}
    if SAMPLES in published.manifest.files:
        # Names of cells are written out: `datasets` reads no dictionaries of Arrow.
        samples = pq.read_table(published.folder / SAMPLES)
        place = samples.column_names.index("cell")
        tables[SAMPLES] = samples.set_column(place, "cell", samples["cell"].cast(pa.string()))
    contents = {name: _parquet(content) for name, content in tables.items()}
    for name in (RECORDS, MANIFEST):
        contents[name] = (published.folder / name).read_bytes()
    rows = {Path(name).stem: content.num_rows for name, content in tables.items()}
    sizes = {name: len(content) for name, content in contents.items()}
    card = _card(suite, published, rows, sizes, tables)
    _require_own(suite, folder, [CARD, *contents])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    write_atomically(folder / CARD, card.encode())
    return DatasetFolder(folder, [CARD, *contents], rows)


def _require_own(suite: Suite, folder: Path, names: Sequence[str]) -> None:
    """Refuses a folder, such as that of the suite itself, whose files would be overwritten by others of their names."""
    there = [name for name in names if os.path.lexists(folder / name)]
    card = folder / CARD
    written = card.is_file() and _said_of(suite) in card.read_text(encoding="utf-8", errors="replace")
    if there and not written:
        raise InvalidInput(
            f"{folder} holds {', '.join(there)}, and no dataset of suite {suite.name}; nothing is overwritten. Give a "
            "folder of its own."
        )


def _said_of(suite: Suite) -> str:
    """What the card says of the suite; by this, too, a folder is known again."""
    return f"Results of suite `{suite.name}` of the benchmark of ANN-to-SNN conversion adaptive-calibration-bench."


def _rows(suite: Suite, published: PublishedSuite) -> pa.Table:
    """The tidy table with the types of its columns, also of those that are empty."""
    frame = collect(suite, published)
    fields = []
    for name in frame.columns:
        integral = name in (*INTEGERS, "seed", "calibration")
        fields.append((name, pa.int64() if integral else pa.float64() if name in NUMBERS else pa.string()))
        if name not in NUMBERS:
            frame[name] = [None if pd.isna(value) else str(value) for value in frame[name]]
        elif not integral:
            frame[name] = frame[name].astype(float)
    return pa.Table.from_pandas(frame, pa.schema(fields), preserve_index=False).replace_schema_metadata()


def _parquet(content: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(content, file, compression="zstd")
    return file.getvalue()


def _card(
    suite: Suite, published: PublishedSuite, rows: dict[str, int], sizes: dict[str, int], tables: dict[str, pa.Table]
) -> str:
    """The card: settings for the hub and for `datasets`, then what the files hold and where they come from."""
    bound = max(rows.values())
    settings: dict[str, Any] = {
        "pretty_name": one_line(suite.title),
        "license": LICENCE,
        "size_categories": [next((name for most, name in SIZES if bound < most), LARGEST)],
        "tags": ["benchmark", "spiking-neural-networks", "ann-to-snn-conversion", "energy"],
        "configs": [
            {"config_name": name, "data_files": f"{name}.parquet", **({"default": True} if name == "rows" else {})}
            for name in rows
        ],
    }
    head = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    about = {
        "rows": "a row for each task, network, method, number of steps T, seed and metric: accuracy with its 95 % "
        "interval, energy by the prices of `price_list`, latency; cells without figures have a `status` and a `reason`",
        "samples": "a row for each test sample of each `cell`: its score (`outcome`), steps and spikes, and what was "
        "predicted, in the order of the test split",
    }
    lines = [
        f"# {one_line(suite.title)}",
        "",
        one_line(suite.note),
        "",
        f"{_said_of(suite)} {published.origin()}",
        "",
        *table(
            ["configuration", "rows", "bytes", "holds"],
            [[f"`{name}`", f"{n:,}", f"{sizes[f'{name}.parquet']:,}", about[name]] for name, n in rows.items()],
        ),
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        'load_dataset("FOLDER OR OWNER/NAME", "rows")["train"].to_pandas()',
        "```",
        "",
        f"`{RECORDS}` holds the whole record of each cell: layers, curves, exits, provenance, the command that "
        f"measured it. `{MANIFEST}` is the manifest of the published suite: digests of its files, commits, machines.",
        "",
        *table(["column of `rows`", "type"], [[f"`{field.name}`", str(field.type)] for field in tables[ROWS].schema]),
        "",
        "## Licences",
        "",
        "The results have the benchmark's licence, Apache 2.0. Test samples are not among them; they belong to",
        "",
        *(_source(task) for task in dict.fromkeys(cell.task for cell in suite.cells())),
    ]
    return f"---\n{head}---\n\n" + page("\n".join(lines)) + "\n"


def _source(task: str) -> str:
    """A line on the data of a task."""
    info = TASKS[task].info
    said = [info.title or task, info.citation, info.homepage, f"licence: {info.licence}" if info.licence else None]
    return f"- `{task}`: " + "; ".join(one_line(part) for part in said if part)
