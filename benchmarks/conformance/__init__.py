"""The conformance kit: checks that a method, task or network meets the assumptions of the benchmark.

On the command line `python run_all.py check NAME`; in a test module of your own

    from benchmarks.conformance import conformance_test
    test_conformance = conformance_test("burst:phi=4")
"""

from benchmarks.conformance.kit import Check, DoesNotApply, Failed, Result, demand
from benchmarks.conformance.subjects import REGISTRIES, check, conformance_test, print_results

__all__ = [
    "REGISTRIES",
    "Check",
    "DoesNotApply",
    "Failed",
    "Result",
    "check",
    "conformance_test",
    "demand",
    "print_results",
]
