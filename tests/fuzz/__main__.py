"""Runs every target of every module of this package with one seed after the other, and prints what it finds.

python -m tests.fuzz [--seconds 300] [--runs N] [--seed 0] [--only WORD]

A target is a name and a function of a seed that raises an error for a find: anything but a result, or an error of ours
that names the file. The function with the seed that is printed shows it again.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from types import FrameType

import tests.fuzz

Target = Callable[[int], None]
LONGEST = 10
"""Seconds that one seed may take."""
MOST_FINDS = 20


def targets(only: str) -> Iterator[tuple[str, Target]]:
    """The targets of all modules, or those whose names hold a word."""
    for module in pkgutil.iter_modules(tests.fuzz.__path__):
        if module.name == "__main__" or module.name.startswith("test_"):
            continue
        for name, target in importlib.import_module(f"tests.fuzz.{module.name}").TARGETS:
            if only in f"{module.name}.{name}":
                yield f"{module.name}.{name}", target


def hung(signum: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"it takes more than {LONGEST} s")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300, help="how long in all (default: 300)")
    parser.add_argument("--runs", type=int, default=None, help="how many seeds in all, if fewer")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--only", default="", help="a word that the names of targets hold")
    arguments = parser.parse_args()
    signal.signal(signal.SIGALRM, hung)
    warnings.simplefilter("ignore")
    every = list(targets(arguments.only))
    if not every:
        parser.error(f"no target has '{arguments.only}' in its name")
    found: Counter[str] = Counter()
    runs, began = 0, time.monotonic()
    for seed in count(arguments.seed):
        for name, target in every:
            if time.monotonic() - began > arguments.seconds or runs == arguments.runs or found.total() >= MOST_FINDS:
                print(f"{runs} runs of {len(every)} targets in {time.monotonic() - began:.0f} s: {found.total()} finds")
                return 1 if found else 0
            runs += 1
            signal.setitimer(signal.ITIMER_REAL, LONGEST)
            try:
                target(seed)
            except Exception as error:
                found[name] += 1
                print(f"{name}, seed {seed}: {type(error).__name__}: {error}", flush=True)
                if found[name] == 1:
                    traceback.print_exc()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    raise AssertionError


if __name__ == "__main__":
    sys.exit(main())
