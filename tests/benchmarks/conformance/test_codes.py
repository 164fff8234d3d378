"""Codes pass their checks, and what a wrong one breaks is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.conformance import check, codes
from benchmarks.conformance.codes import CodeBench
from benchmarks.conformance.kit import judge
from conversion.codes import CODES, Code, Held, OneHot, Phase, Sent


@pytest.mark.parametrize("name", CODES)
def test_codes_that_ship(name: str) -> None:
    results = check(name, "code")
    assert [result for result in results if result.verdict == "failed"] == []
    at_once = {"tells them step by step or at once"}
    assert {result.name for result in results if result.verdict == "does not apply"} == (
        set() if name == "phase" else at_once
    )


def test_list_and_check_know_codes(cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = cli("list", "codes")
    assert code == 0 and set(out.split()) == set(CODES)
    code, out, _ = cli("check", "one_hot")
    assert code == 0 and "7 passed, 0 failed" in out
    code, _, error = cli("check", "nothing_like_it")
    assert code == 2 and "no method, task, network or code" in error


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Codes of a test are forgotten after it."""
    before = dict(CODES._entries)
    yield
    CODES._entries.clear()
    CODES._entries.update(before)


class WrongAmplitude(OneHot):
    """Its spikes are twice as large as it says."""

    def send(self, *args: Any, **kwargs: Any) -> Sent:
        sent = super().send(*args, **kwargs)
        return Sent(2 * sent.value, sent.spikes)


class HalfSpikes(Held):
    """Half a spike."""

    def send(self, *args: Any, **kwargs: Any) -> Sent:
        sent = super().send(*args, **kwargs)
        return Sent(sent.value, sent.spikes / 2)


class Silent(Held):
    """Nothing is ever sent."""

    def send(self, error: Tensor, *args: Any, **kwargs: Any) -> Sent:
        return Sent(0 * error, torch.zeros_like(error))


class Negative(OneHot):
    """It says that it has no values below zero, and sends them."""

    signed = False

    def send(self, error: Tensor, held: Tensor, threshold: Tensor, t: int, T: int, phi: int, rectified: bool) -> Sent:
        return super().send(error, held, threshold, t, T, phi, False)


class Undocumented(OneHot):
    pass


@dataclass(frozen=True)
class Lists(OneHot):
    """A field that a file does not hold."""

    sizes: tuple[int, ...] = (1, 2)


class Late(Phase):
    """It sends in another step than it chose."""

    def send(self, error: Tensor, held: Tensor, threshold: Tensor, t: int, T: int, phi: int, rectified: bool) -> Sent:
        return super().send(error, held, threshold, t % T + 1, T, phi, rectified)


class NoBits(OneHot):
    """A sign that is free."""

    def payload_bits(self, T: int, phi: int, rectified: bool) -> int:
        return 3 if rectified else 2


@pytest.mark.parametrize(
    ("kind", "broken", "said"),
    [
        (WrongAmplitude, codes.keeps_to_its_amplitudes, "another amplitude"),
        (HalfSpikes, codes.keeps_to_its_amplitudes, "give whole numbers"),
        (Silent, codes.tells_values, "off by 1.00"),
        (Negative, codes.says_no_more_than_its_reach, "not `signed`"),
        (Undocumented, codes.says_what_it_is, "no docstring"),
        (Lists, codes.comes_back_from_a_file, "a file holds numbers"),
        (Late, codes.tells_them_step_by_step_or_at_once, "something else"),
        (NoBits, codes.has_a_payload, "3 for values above zero and 2"),
    ],
)
def test_what_a_wrong_code_breaks_is_said(kind: type[Code], broken: Callable[[CodeBench], None], said: str) -> None:
    CODES.register("wrong")(kind)
    result = judge(broken, CodeBench(kind))
    assert result.verdict == "failed" and said in result.reason


def test_a_code_under_another_name_is_found_out() -> None:
    class Renamed(OneHot):
        """A code."""

        name = "other"

    CODES.register("own")(Renamed)
    assert judge(codes.is_called_as_registered, CodeBench(Renamed)).verdict == "failed"
