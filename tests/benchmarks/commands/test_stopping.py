"""Signals end a command soon, with one line, no traceback and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.execution.workbench import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.waits]

LINES = {
    signal.SIGINT: "Interrupted. What was finished is stored; the same command does the rest.\n",
    signal.SIGTERM: "Terminated. What was finished is stored; the same command does the rest.\n",
}
SOON = 30.0
"""Seconds for what takes at most 3 on a machine of its own: processes of other tests may hold the processor."""


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command line in a session of its own, whose processes get signals together, as in a terminal."""
    # Whoever runs the tests in the background ignores SIGINT, and so would the command.
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run_all.py"), *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def until(condition: object, process: subprocess.Popen[str]) -> None:
    assert callable(condition)
    end = time.monotonic() + 240
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("when", "engine", "number"),
    [
        ("importing", "inline", signal.SIGTERM), ("measuring", "inline", signal.SIGINT),
        ("measuring", "local", signal.SIGTERM),
    ],
)  # fmt: skip
def test_a_run_ends_soon_and_in_one_line(tmp_path: Path, when: str, engine: str, number: signal.Signals) -> None:
    process = started(tmp_path, "run", "--suite", "mini", "--task", "digits", "--results", "out", "--engine", engine)
    if when == "measuring":
        until(lambda: any(tmp_path.glob("out/mini/leases/*.json")), process)
    else:
        # Our handlers are there before torch is loaded, whose libraries are mapped.
        until(lambda: any("libtorch" in mapped.path for mapped in psutil.Process(process.pid).memory_maps()), process)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, number)  # As a terminal does it: workers get it, too.
    since = time.monotonic()
    out, err = process.communicate(timeout=240)
    assert time.monotonic() - since < SOON
    assert process.returncode == 128 + number, err
    assert err.endswith(LINES[number]) and err.count("stored; the same command") == 1
    assert "Traceback" not in err + out and "is missing" not in err + out
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_what_does_not_come_back_is_ended_all_the_same(tmp_path: Path) -> None:
    """A library that neither returns to Python nor lets an exception through."""
    script = tmp_path / "stuck.py"
    script.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from benchmarks.commands.stopping import stoppable\n"
        "with stoppable():\n"
        "    while True:\n"
        "        try:\n"
        "            print('ready', flush=True)\n"  # Within: the signal may come at once.
        "            time.sleep(600)\n"
        "        except BaseException:\n"
        "            pass\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    since = time.monotonic()
    process.terminate()
    _, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (143, LINES[signal.SIGTERM]) and time.monotonic() - since < SOON


def test_handlers_are_as_before_when_a_command_has_ended() -> None:
    from benchmarks.commands.stopping import stoppable

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stoppable():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
