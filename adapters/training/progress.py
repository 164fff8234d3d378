"""The progress of a training run: a bar on a terminal, one line per epoch in a log. Both go to standard error."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class EpochProgress:
    """Context manager around the epochs of one run.

    Args:
        title: name of the run.
        epochs: number of epochs of the whole run.
        done: number of epochs that an earlier, interrupted run completed.
        batches: number of batches of an epoch.
        shown: False where another process shows it.
    """

    def __init__(self, title: str, epochs: int, done: int, batches: int, shown: bool = True) -> None:
        self.shown = shown
        self.title = title
        self.epochs = epochs
        self.epoch = done
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if shown and console.is_terminal:
            columns = (BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(), TimeRemainingColumn())
            self._bar = Progress(TextColumn("{task.description}"), *columns, console=console)
            self._task = self._bar.add_task(title, total=epochs * batches, completed=done * batches, note="")

    def batch(self) -> None:
        """Counts a batch."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def complete_epoch(self, note: str) -> None:
        """Counts an epoch and shows a note on it."""
        self.epoch += 1
        note = f"epoch {self.epoch}/{self.epochs}, {note}"
        if self._bar is not None:
            self._bar.update(self._task, note=note)
        elif self.shown:
            print(f"{self.title}: {note}", file=sys.stderr, flush=True)

    def __enter__(self) -> EpochProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
