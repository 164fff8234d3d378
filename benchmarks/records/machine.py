"""The machine that measures: its processor decides the rounding of sums, and with its cores the time."""

from __future__ import annotations

import math
import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict


class Machine(BaseModel):
    """A processor as recorded; fields are empty in records that are older than the field.

    Attributes:
        processor: name of the model.
        isa: architecture and vector instructions that torch's kernels use, as in "x86_64 AVX512 AMX".
        cores: number of cores that a process may use.
    """

    model_config = ConfigDict(frozen=True)
    processor: str = ""
    isa: str = ""
    cores: str = ""

    def __str__(self) -> str:
        details = [*([self.isa] if self.isa else []), *([f"{self.cores} cores"] if self.cores else [])]
        if not self.processor:
            return "processor not recorded" + (f" ({', '.join(details)})" if details else "")
        return f"{self.processor} ({', '.join(details)})" if details else self.processor


@cache
def this_machine() -> Machine:
    """The machine that this process runs on."""
    described = _described()
    capability = torch.backends.cpu.get_cpu_capability()
    # oneDNN uses the tile instructions independently of the capability of torch's own kernels.
    tiles = " AMX" if "amx_tile" in described.get("flags", "").split() else ""
    return Machine(
        processor=described.get("model name") or platform.processor() or platform.machine(),
        isa=f"{platform.machine()} {capability}{tiles}",
        cores=str(cores()),
    )


def cores(root: Path = Path("/sys/fs/cgroup")) -> int:
    """CPU cores that this process may use, at least one: those it may run on, or its container's quota.

    Args:
        root: where Linux shows the limits of the process's control group.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min(allowed, _quota(root))))


def _quota(root: Path) -> float:
    """Cores' worth of time that a container may use, from either version of control groups."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError):
            quota, period = map(float, " ".join((root / file).read_text() for file in files).split())
            if quota > 0:
                return quota / period
    return math.inf


def _described() -> dict[str, str]:
    """The fields of the first core in /proc/cpuinfo; empty on systems other than Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
