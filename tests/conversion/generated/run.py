"""Random networks by the thousand: `python -m tests.conversion.generated.run --networks 2000`.

Prints every network that is converted wrongly with its seed, and how many were converted and refused, with the reasons.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter

from tests.conversion.generated.networks import seeded_program
from tests.conversion.generated.programs import Kind
from tests.conversion.generated.verdict import judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    kinds: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    seed = options.first
    while sum(kinds.values()) < options.networks:
        program = seeded_program(seed)
        seed += 1
        # The few on whose values no activation does anything are no networks to convert.
        if not any(step.kind is Kind.FIRE for step in program.steps):
            continue
        verdict = judge(program)
        kinds[verdict.kind] += 1
        if verdict.kind == "refused":
            operation = re.search(r"The operation (\S+)", verdict.reason)
            reasons[operation[1] if operation else verdict.reason] += 1
        if verdict.kind == "wrong":
            print(f"seed {seed - 1}:\n{program}\n=> {verdict.reason}\n", flush=True)
        if sum(kinds.values()) % 50 == 0:
            print(dict(kinds), flush=True)
    print(f"{sum(kinds.values())} networks, seeds {options.first} to {seed - 1}: {dict(kinds)}")
    for reason, number in reasons.most_common():
        print(f"refused {number}: {reason}")


if __name__ == "__main__":
    main()
