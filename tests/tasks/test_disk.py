"""The contract for data on disk, on a task of text files; and the page of bridges, whose code runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks import TASKS
from tasks.accuracy import Accuracy
from tasks.base import Split
from tasks.disk import SPLITS, DiskTask

PAGE = Path(__file__).parent.parent.parent / "docs" / "bridges.md"


class Numbers(DiskTask[Path]):
    """A number in every file; its class is whether it is odd."""

    name = "numbers"
    primary_metric = "accuracy"
    classes = ("even", "odd")
    input_shape = (1,)
    folders = ("old/numbers", "numbers")
    unit = "number"
    layout = "numbers/*.txt."
    taken: tuple[Split, ...] = ("train",)

    def listing(self) -> dict[Split, list[Path]]:
        files = sorted(self.root.glob("[0-9]*.txt"))
        if not files:
            raise DataMissing(f"The folder {self.root} holds no number.")
        return {split: files[i :: len(self.taken)] for i, split in enumerate(self.taken)}

    def read(self, sample: Path) -> tuple[Tensor, Tensor]:
        text = sample.read_text()
        if not text.isdigit():
            raise InvalidInput(f"{sample} holds no number.")
        return torch.tensor([float(text)]), torch.tensor(int(text) % 2)

    def label(self, sample: Path) -> int | None:
        return int(sample.stem) % 2

    def key(self, sample: Path) -> str:
        return sample.stem

    def content(self, sample: Path) -> bytes:
        return f"{sample.stem} {sample.read_text()} ".encode()

    def metric(self) -> Accuracy:
        return Accuracy()


class Thirds(Numbers):
    """With all three splits on disk."""

    taken = SPLITS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "numbers").mkdir()
    for number in range(100):
        (tmp_path / f"numbers/{number:02}.txt").write_text(str(number))
    return tmp_path


def sizes(task: DiskTask[Path]) -> list[int]:
    return [len(task.listed(split)) for split in SPLITS]


def test_what_is_missing_is_a_sentence(root: Path, tmp_path: Path) -> None:
    assert Numbers().missing() == "No data root was given (--data-root)."
    away = tmp_path / "away"
    assert Numbers(away).missing() == f"There is no folder {away / 'old/numbers'} or {away / 'numbers'}."
    assert Numbers(root).missing() is None
    (root / "old/numbers").mkdir(parents=True)
    with pytest.raises(DataMissing, match=r"old/numbers holds no number\. Expected layout: numbers/"):
        Numbers(root).split("train")


def test_splits_that_there_are_not_are_cut_off_by_class(root: Path) -> None:
    """A fifth is tested on, a tenth of the rest validates; the same ones every time."""
    task = Numbers(root)
    assert sizes(task) == [72, 8, 20]
    parts = [set(task.listed(split)) for split in SPLITS]
    assert len(set.union(*parts)) == 100
    assert [sum(int(path.stem) % 2 for path in part) for part in parts] == [36, 4, 10]
    assert [Numbers(root).listed(split) for split in SPLITS] == [task.listed(split) for split in SPLITS]
    assert sizes(Thirds(root)) == [34, 33, 33]


def test_fewer_are_cut_off_where_there_is_a_most(root: Path) -> None:
    assert sizes(type("Few", (Numbers,), {"validation_most": 4})(root)) == [76, 4, 20]


def test_without_classes_the_cut_is_as_large(root: Path) -> None:
    task = type("Unlabelled", (Numbers,), {"label": lambda self, sample: None})(root)
    assert sizes(task) == [72, 8, 20]


def test_what_the_user_leaves_out_is_counted_and_in_no_split(root: Path) -> None:
    (root / "numbers/33.txt").write_text("three")
    task = Thirds(root)
    split = task.split("train")
    with pytest.raises(InvalidInput, match=r"33\.txt holds no number\. .* write 33 on a line of .*skip\.txt"):
        split[11]
    assert task.departures() == {"numbers on skip.txt": 0}
    before = Numbers(root).digest()
    (root / "numbers/skip.txt").write_text("33  # spelt out\n\n# 34\n76\n")
    again = Numbers(root)
    assert again.departures() == {"numbers on skip.txt": 2} and sum(sizes(again)) == 98
    assert {"33", "76"}.isdisjoint(path.stem for split in SPLITS for path in again.listed(split))
    assert again.digest() != before


def test_a_class_of_which_nothing_is_left_is_refused(root: Path) -> None:
    odd = "\n".join(f"{number:02}" for number in range(1, 100, 2))
    (root / "numbers/skip.txt").write_text(odd)
    assert "skip.txt leaves no number in the train split, or none of one of its classes." in str(
        Numbers(root).missing()
    )


def test_a_line_may_name_the_file_and_one_that_names_nothing_is_counted(root: Path) -> None:
    (root / "numbers/skip.txt").write_text("\ufeff33.txt\n76\n333\n", encoding="utf-8")
    task = Numbers(root)
    assert sum(sizes(task)) == 98
    assert task.departures() == {"numbers on skip.txt": 2, "lines of skip.txt that name no number of this task": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_skip_list_of_any_editor_is_read_b11(encoding: str, root: Path) -> None:
    (root / "numbers/skip.txt").write_bytes("33 # größer\r\n76\r\n\r\n".encode(encoding))
    assert Numbers(root).departures() == {"numbers on skip.txt": 2}


def test_a_line_that_is_no_text_is_named_b11(root: Path) -> None:
    (root / "numbers/skip.txt").write_bytes(b"33\r\n76\r\n34 # \xe9\r\n")
    with pytest.raises(InvalidInput, match=r"skip\.txt is no text in UTF-8: .* in line 3; save it anew"):
        Numbers(root).split("train")


def test_a_skip_list_that_is_no_text_is_named(root: Path) -> None:
    (root / "numbers/skip.txt").write_bytes(b"33 # \xe9\n")
    with pytest.raises(InvalidInput, match=r"skip\.txt is no text in UTF-8: .* at byte 5, in line 1; save it anew\."):
        Numbers(root).split("train")


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        ({"test": [1]}, "Task numbers has no train split, but test; say where"),
        ({}, "Task numbers has no train split, but none; say where"),
        ({"train": [1], "val": [2]}, "has a split called 'val'; the splits of a task are train, validation, test"),
        ({"train": [1, 2], "test": [3, 2]}, "lists number 02 twice, in the train and the test split"),
        ({"train": [1, 1]}, "lists number 01 twice, in the train split"),
    ],
)
def test_splits_have_known_names_and_share_no_sample(listing: dict[Split, list[int]], message: str, root: Path) -> None:
    found = {split: [root / f"numbers/{number:02}.txt" for number in numbers] for split, numbers in listing.items()}
    task = type("Wrong", (Numbers,), {"listing": lambda self: found})(root)
    with pytest.raises(InvalidInput, match=message):
        task.split("test")


def test_an_empty_split_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "numbers").mkdir()
    for number in range(4):
        (tmp_path / f"numbers/{number}.txt").write_text(str(number))
    task = Numbers(tmp_path)
    assert len(task.listed("train")) == 4
    with pytest.raises(InvalidInput, match="The test split of numbers holds no number; see"):
        task.split("test")


def test_a_link_that_leads_nowhere_is_named_before_it_is_read(root: Path) -> None:
    path = root / "numbers/02.txt"
    path.rename(root / "02.txt")
    path.symlink_to(root / "02.txt")
    assert Numbers(root).missing() is None
    (root / "02.txt").unlink()
    said = str(Numbers(root).missing())
    assert said.startswith(f"{path} is a link that leads nowhere; link it again. To leave it out, write 02 on a line")
    (root / "numbers/skip.txt").write_text("02\n")
    assert Numbers(root).missing() is None


def test_samples_are_kept_while_they_fit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, again = Thirds(root).split("test"), Thirds(root).split("test")
    first = kept[0]
    monkeypatch.setattr("tasks.disk.CACHE_BYTES", 100)
    again[0]
    (root / "numbers/02.txt").write_text("7")
    assert torch.equal(kept[0][0], first[0]) and int(again[0][0]) == 7


def test_the_digest_changes_with_a_sample_and_its_split(root: Path) -> None:
    before = {Numbers(root).digest(), Thirds(root).digest()}
    (root / "numbers/02.txt").write_text("7")
    assert len(before | {Numbers(root).digest(), Thirds(root).digest()}) == 4


def test_the_code_of_the_page_of_bridges_runs(tmp_path: Path) -> None:
    """Every task of it says what is not there, and keeps to the sizes that it is given."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": "bridges"}
    shipped = set(TASKS)
    for block in blocks:
        exec(block, names)
    own = set(TASKS) - shipped
    assert len(own) == 11
    for name in own:
        task = TASKS[name](tmp_path)
        assert str(task.missing()).endswith(".") and task.layout.endswith(".") and task.input_shape and task.classes
