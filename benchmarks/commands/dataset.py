"""`dataset`: a published suite as a dataset of the Hugging Face hub, written as files and pushed if asked to."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pages.dataset import DatasetFolder, write_dataset
from benchmarks.records.manifest import is_published
from benchmarks.records.published import PublishedSuite
from benchmarks.suites.files import load_suite
from benchmarks.suites.plugins import load_plugins
from benchmarks.text import one_line, printable
from conversion.errors import BenchmarkError


def dataset(suite: str, results: Path, to: Path, push: str | None) -> None:
    """Writes the folder of a dataset and says what is in it; with `push` it is uploaded.

    Args:
        suite: its name, or the path of a suite file.
        results: the folder of the published suites.
        to: the folder to write.
        push: a repository of the hub, "owner/name", which has to exist; None sends nothing.

    Raises:
        BenchmarkError: the suite is not published, a file of it was changed by hand, or it cannot be uploaded.
    """
    load_plugins()
    chosen = load_suite(suite)
    if not is_published(results / chosen.name):
        raise BenchmarkError(
            f"There is no published suite in {results / chosen.name}; publish it first, or give --results."
        )
    written = write_dataset(chosen, PublishedSuite(results, chosen.name), to)
    counts = ", ".join(f"{count:,} {name}" for name, count in written.rows.items())
    print(printable(f"{written.folder}: {counts}; load_dataset reads it."))
    if push is not None:
        print(printable(upload(written, push)))


def upload(written: DatasetFolder, repository: str) -> str:
    """Uploads the files that were written, and no others of the folder; returns the address of the commit.

    Raises:
        BenchmarkError: huggingface_hub is not installed, or the hub refuses.
    """
    try:
        from huggingface_hub import upload_folder
    except ImportError as error:
        raise BenchmarkError(
            "--push needs huggingface_hub, which is not installed: pip install 'adaptive-calibration-bench[hubs]'."
        ) from error
    try:
        return str(
            upload_folder(
                repo_id=repository, folder_path=str(written.folder), repo_type="dataset",
                allow_patterns=list(written.files), commit_message="Results of adaptive-calibration-bench",
            )
        )  # fmt: skip
    except Exception as error:  # Of the hub, of the network, of a name that is none.
        raise BenchmarkError(
            f"{written.folder} is written and was not uploaded to {repository}: {one_line(str(error))} The repository "
            "has to exist, and you to be logged in (`hf auth login`)."
        ) from error
