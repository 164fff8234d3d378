"""Files of torch: what is read of them is what torch reads, and nothing that one names is imported or called."""

from __future__ import annotations

import copyreg
import encodings.cp437
import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adapters.foreign import read_state
from adapters.weights import load_weights
from conversion.errors import CheckpointError, InvalidInput
from tests.adapters import pickled
from tests.adapters.pickled import call, mapping, name, programme, tensor, text
from tests.watched import watched

SYSTEM = name("os", "system")
DETECTOR = name("ultralytics.nn.tasks", "DetectionModel")


def acts(place: Path) -> bytes:
    """Python code, as text of a pickle, that leaves a trace."""
    return text(f"__import__('os').mkdir({str(place)!r})")


def network_of(*attributes: bytes) -> bytes:
    """A module of two weights, with other attributes after its own."""
    own = mapping(_parameters=mapping(weight=tensor("0", 2, (2,), (1,))), _buffers=b"}", _modules=b"}")
    return name("stranger.nets", "Net") + b")\x81" + own[:-1] + b"".join(attributes) + b"ub"


def with_weights(*attributes: bytes) -> Callable[[Path, Path], Path]:
    return lambda path, place: pickled.zipped(path, network_of(*attributes), **{"0": struct.pack("<2f", 1, 2)})


def only(value: Callable[[Path], bytes]) -> Callable[[Path, Path], Path]:
    return lambda path, place: pickled.zipped(path, mapping(model=value(place)))


def a_module(path: Path, place: Path) -> Path:
    (path.parent / "stranger_that_acts.py").write_text(f"import os\nos.mkdir({str(place)!r})\nclass Net: pass\n")
    return pickled.zipped(path, mapping(model=name("stranger_that_acts", "Net") + b")\x81"))


def registered(path: Path, place: Path) -> Path:
    return pickled.zipped(path, mapping(model=b"\x82\x7b" + b"(" + text(f"mkdir {place}") + b"tR"))


def allowed(path: Path, place: Path) -> Path:
    """A class that another library declared safe for torch, in this process, and that acts when it is unpickled."""
    torch.serialization.add_safe_globals([Acts])
    own = name(Acts.__module__, "Acts") + b")\x81" + mapping(place=text(str(place))) + b"b"
    return pickled.zipped(path, mapping(model=own))


class Acts:
    def __setstate__(self, state: dict[str, str]) -> None:
        Path(state["place"]).mkdir()


class Scripted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


def scripted(path: Path, place: Path) -> Path:
    torch.jit.save(torch.jit.script(Scripted()), path)
    return path


def of_bytes(place: Path) -> bytes:
    """A file of torch within a file of torch, which torch's own storages unpickle without asking."""
    inner = programme(call(name("builtins", "eval"), acts(place)))
    return call(name("torch.storage", "_load_from_bytes"), b"B" + struct.pack("<I", len(inner)) + inner)


MALICIOUS: dict[str, Callable[[Path, Path], Path]] = {
    # The four ways in of case C1.
    "c1_activation": only(lambda p: call(DETECTOR, mapping(nc=pickled.number(1), activation=acts(p)))),
    "c1_rebuilt_from_type": only(lambda p: call(
        name("torch._tensor", "_rebuild_from_type_v2"), DETECTOR, DETECTOR, b"(" + mapping(activation=acts(p)) + b"t",
        b"}",
    )),
    "c1_other_file": only(lambda p: call(name("ultralytics.nn.autobackend", "AutoBackend"), text(str(p) + ".pt"))),
    "c1_yaml": only(lambda p: call(DETECTOR, text(str(p) + ".yaml"))),
    # More.
    "system": only(lambda p: call(SYSTEM, text(f"mkdir {p}"))),
    "eval": only(lambda p: call(name("builtins", "eval"), acts(p))),
    "named_on_the_stack": only(lambda p: call(text("builtins") + text("eval") + b"\x93", acts(p))),
    "instance": only(lambda p: b"(" + acts(p) + b"ibuiltins\neval\n"),
    "object": only(lambda p: b"(" + name("builtins", "eval") + acts(p) + b"o"),
    "of_getattr": only(lambda p: call(
        call(name("builtins", "getattr"), call(name("builtins", "__import__"), text("os")), text("mkdir")), text(str(p))
    )),
    "attribute_of_a_path": only(lambda p: call(
        name("pathlib", "Path.mkdir"), call(name("pathlib", "PosixPath"), text(str(p)))
    )),
    "file_in_a_file": only(of_bytes),
    "address": only(lambda p: call(name("torch.hub", "load_state_dict_from_url"), text("http://127.0.0.1:9/w.pth"))),
    "process": only(lambda p: call(name("subprocess", "run"), b"](" + text("mkdir") + text(str(p)) + b"e")),
    "imported": a_module,
    "registered": registered,
    "declared_safe": allowed,
    "scripted": scripted,
    "before_1_6": lambda path, place: pickled.legacy(path, mapping(model=call(SYSTEM, text(f"mkdir {place}")))),
    "beside_weights": lambda path, place: with_weights(
        text("date"), call(SYSTEM, text(f"mkdir {place}")), text("forward"), call(name("builtins", "eval"), acts(place))
    )(path, place),
    "hook_of_a_module": lambda path, place: with_weights(
        text("_load_state_dict_pre_hooks"), mapping(a=call(name("builtins", "eval"), acts(place)))
    )(path, place),
}  # fmt: skip
ENCODING = encodings.cp437.getregentry()  # Of names in archives: imported, so that reading one imports nothing.
WITH_WEIGHTS = ("beside_weights", "hook_of_a_module")


@pytest.fixture
def one_registration(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Extension 123 of pickle is `os.system`; what was declared safe for torch is not, afterwards."""
    copyreg.add_extension("os", "system", 123)
    yield
    copyreg.remove_extension("os", "system", 123)
    torch.serialization.clear_safe_globals()


@pytest.mark.usefixtures("one_registration")
@pytest.mark.parametrize("kind", MALICIOUS)
def test_nothing_runs_c1(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    place = tmp_path / "acted"
    path = MALICIOUS[kind](tmp_path / "w.pt", place)
    content = path.read_bytes()
    with watched() as deeds:
        if kind in WITH_WEIGHTS:
            assert read_state(content)["weight"].tolist() == [1, 2]
        else:
            with pytest.raises(InvalidInput, match=r"holds no state dict|has the instruction EXT1"):
                read_state(content)
    assert deeds == []
    assert not place.exists()
    if kind not in WITH_WEIGHTS:
        with pytest.raises(CheckpointError, match=r"w\.pt (holds no|is damaged)"):
            load_weights(nn.Linear(1, 2), path)
    assert not place.exists() and "stranger_that_acts" not in sys.modules


@pytest.mark.parametrize(
    "value",
    [
        lambda p: call(SYSTEM, text(f"mkdir {p}")),
        lambda p: call(name("builtins", "eval"), acts(p)),
        lambda p: call(text("builtins") + text("eval") + b"\x93", acts(p)),
        lambda p: b"(" + acts(p) + b"ibuiltins\neval\n",
        lambda p: b"(" + name("builtins", "eval") + acts(p) + b"o",
    ],
)
def test_what_the_files_do_when_pickle_reads_them_is_seen(value: Callable[[Path], bytes], tmp_path: Path) -> None:
    """Else the test above could not fail."""
    with watched() as deeds:
        pickle.loads(programme(value(tmp_path / "acted")))
    assert deeds and (tmp_path / "acted").exists()


STATES: dict[str, Callable[[], dict[str, Tensor]]] = {
    "types": lambda: {
        str(kind): torch.arange(6).to(kind).reshape(2, 3)
        for kind in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
                     torch.int8, torch.uint8, torch.bool, torch.complex64, torch.uint16, torch.float8_e4m3fn)
    },
    "views": lambda: dict(zip(
        ("whole", "turned", "part", "row"),
        (lambda w: (w, w.mT, w[1:, ::2], w[2]))(torch.arange(12.0).reshape(3, 4)), strict=True,
    )),
    "empty": lambda: {"none": torch.empty(0, 3), "scalar": torch.tensor(4.0)},
    "parameters": lambda: dict(nn.Linear(2, 3).state_dict(keep_vars=True)),
    "ordered": lambda: OrderedDict(nn.BatchNorm1d(3).state_dict()),
}  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before_1_6"])
@pytest.mark.parametrize("kind", STATES)
def test_tensors_are_those_that_torch_reads(kind: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    state = STATES[kind]()
    if not zipped:  # Types that came later have no storage of their own there.
        state = {key: value for key, value in state.items() if "uint16" not in key and "float8" not in key}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    expected = torch.load(path, weights_only=True)
    found = read_state(path.read_bytes())
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype and torch.equal(found[key], value.detach()), key


class Shared(nn.Module):
    """Shares a module, and has buffers that are saved and not saved, and no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.again = nn.Conv2d(2, 2, 1, bias=False)
        self.norm = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU())
        self.register_buffer("kept", torch.ones(2))
        self.register_buffer("left_out", torch.ones(2), persistent=False)
        self.register_buffer("absent", None)


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before_1_6"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_networks_weights_are_its_state_dict_in_single_precision(protocol: int, zipped: bool, tmp_path: Path) -> None:
    path, model = tmp_path / "w.pt", Shared()
    for content in (model, {"epoch": 3, "model": model}, {"ema": model, "model": None}):
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        found = read_state(path.read_bytes())
        assert list(found) == list(model.state_dict())
        assert all(torch.equal(found[key], value) for key, value in model.state_dict().items())
    torch.save(model.half(), path)
    assert {value.dtype for value in read_state(path.read_bytes()).values()} == {torch.float32, torch.int64}


FLOATS = {"0": struct.pack("<4f", 1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (tensor("0", 4, (3, 2), (2, 1)), r"shape \(3, 2\) does not lie within the 4 numbers"),
        (tensor("0", 4, (4,), (1,), offset=1), r"shape \(4,\) does not lie within the 4 numbers"),
        (tensor("0", 4, (100_000, 100_000), (0, 0)), r"shape \(100000, 100000\) does not lie within"),
        (tensor("0", 4, (2,), (-1,)), "a tensor has no shape"),
        (tensor("0", 4, (2,), (1, 1)), "a tensor has no shape"),
        (tensor("1", 4, (2,), (1,)), r"no part archive/data/1"),
    ],
)
def test_a_tensor_that_is_not_within_its_storage_is_refused(value: bytes, message: str, tmp_path: Path) -> None:
    path = pickled.zipped(tmp_path / "w.pt", mapping(weight=value), **FLOATS)
    with pytest.raises(InvalidInput, match=message):
        read_state(path.read_bytes())


def test_modules_that_share_modules_end(tmp_path: Path) -> None:
    """50 modules, each twice in the next, have 2^50 names; one in itself has no end of them."""
    module: nn.Module = nn.Linear(1, 1)
    for _ in range(50):
        module = nn.Sequential(module, module)
    torch.save(module, tmp_path / "w.pt")
    with pytest.raises(InvalidInput, match="a network of more than 100,000 tensors"):
        read_state((tmp_path / "w.pt").read_bytes())
    own = mapping(_parameters=b"}", _buffers=b"}", _modules=mapping(self=b"h\x00"))
    path = pickled.zipped(tmp_path / "w.pt", name("a", "B") + b")\x81q\x00" + own + b"b")
    with pytest.raises(InvalidInput, match="more than 100 deep"):
        read_state(path.read_bytes())
