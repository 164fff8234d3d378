"""The score that needs no network: rows whose interval reaches down to it are on no front."""

from __future__ import annotations

from tasks import TASKS


def chance(task: str) -> float:
    """The score of an answer that does not look at the sample, of a task's primary metric in percent.

    Of K classes a guess is right once in K times. A mean IoU over K classes is at most 100 / K where all is said to be
    of one class. The average precision of boxes that are put down blindly is 0.
    """
    if task not in TASKS:  # A plug-in's may not be installed here.
        return 0.0
    kind = TASKS[task]
    return 0.0 if kind.primary_metric.startswith("ap") else 100 / len(kind.classes)
