"""Runs the tests as other processors would: `python tests/processors.py [--only SETTING ...] [arguments of pytest]`.

Libraries pick their kernels by what the processor can do, and by environment variables that hide some of it. Other
kernels and other numbers of threads add up in another order, so the last bits of results differ. A test that passes on
one of them only says something about the kernel and nothing about the code.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).resolve().parent

# ATen has kernels of its own, calls oneDNN for convolutions in float32 and MKL for products of matrices.
SETTINGS: dict[str, dict[str, str]] = {
    "this processor": {},
    "aten default": {"ATEN_CPU_CAPABILITY": "default"},
    "aten avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "aten avx512": {"ATEN_CPU_CAPABILITY": "avx512"},
    "sse4.1": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"},
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_CBWR": "AVX512"},
    "no onednn": {"PYTHONPATH": str(HERE / "no_onednn")},
    "2 threads": {"OMP_NUM_THREADS": "2"},
    "4 threads": {"OMP_NUM_THREADS": "4"},
}
# As in the Makefile.
SHARED_OUT = ("-n", "auto", "--maxprocesses", "8", "--dist", "loadfile", "--no-loadscope-reorder")


def tested(variables: dict[str, str], arguments: list[str]) -> tuple[dict[str, int], float]:
    """Numbers of tests that passed, failed and were skipped, and their seconds."""
    started = time.monotonic()
    # Threads that wait sleep: there are more of them than cores, and those that spin take the others' time.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"} | variables
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *SHARED_OUT, f"--junitxml={report}", *arguments]
        ended = subprocess.run(command, cwd=HERE.parent, env=environment, stdout=sys.stderr, check=False)
        if not report.exists():
            sys.exit(f"pytest ended with exit status {ended.returncode} and without a report; see above.")
        (suite,) = ElementTree.parse(report).getroot()
    total, failures, errors, skipped = (int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped"))
    failed = failures + errors
    return {"passed": total - failed - skipped, "failed": failed, "skipped": skipped}, time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--only", action="append", choices=SETTINGS, help="a setting; may be given more than once")
    options, arguments = parser.parse_known_args()
    print("| setting | passed | failed | skipped | seconds |\n| --- | ---: | ---: | ---: | ---: |", flush=True)
    failed = 0
    for name in options.only or SETTINGS:
        counts, seconds = tested(SETTINGS[name], arguments)
        failed += counts["failed"]
        print("|", name, "|", *(f"{count} |" for count in counts.values()), f"{seconds:.0f} |", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
