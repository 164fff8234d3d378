"""The JSON schema of suite files: current, true of the shipped suites, and as strict as the suite files are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from adapters import NETWORKS
from benchmarks.suites.files import load_suite
from benchmarks.suites.schema import schema_text, suite_schema
from benchmarks.suites.shipped import SUITES, suite_names
from conversion.errors import InvalidInput
from conversion.methods import METHODS, Method
from conversion.stages import Stage
from tasks import TASKS

COMMITTED = SUITES / "suite.schema.json"
CHECK = Draft202012Validator(suite_schema())
ENTRY = {"tasks": ["digits"], "networks": ["digits_convnet"], "methods": ["calibration"], "T": [4]}
SUITE = {"name": "own", "title": "Own", "entries": [ENTRY]}


def test_the_committed_schema_is_current() -> None:
    Draft202012Validator.check_schema(suite_schema())
    # After a change: python run_all.py schema > benchmarks/suites/suite.schema.json
    assert COMMITTED.read_text() == schema_text()


@pytest.mark.parametrize("name", suite_names())
def test_every_shipped_suite_names_the_schema_and_keeps_to_it(name: str) -> None:
    text = (SUITES / f"{name}.yaml").read_text()
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={COMMITTED.name}"
    CHECK.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "change",
    [
        {"methods": ["brust"]}, {"methods": [{"brust": {}}]}, {"methods": ["burst"]}, {"methods": [{"burst": {}}]},
        {"methods": [{"burst": {"phy": 4}}]}, {"methods": [{"burst": {"phi": "four"}}]},
        {"methods": [{"ftbc": {"phi": 0}}]},
        {"methods": [{"calibration": {"start": "late"}}]}, {"methods": [{}]}, {"methods": []}, {"tasks": ["digit"]},
        {"networks": ["resnet21"]}, 
        {"networks": ["digits_convnet", "resnet20"]}, {"T": [0]}, {"T": 4}, {"T": ["4"]}, {"T": []}, {"seeds": [-1]},
        {"limit": 0}, {"limits": 5},
    ],
)  # fmt: skip
def test_an_editor_refuses_what_the_reader_of_suites_refuses(tmp_path: Path, change: dict[str, Any]) -> None:
    suite = SUITE | {"entries": [ENTRY | change]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(suite))
    assert CHECK.is_valid(SUITE)
    assert not CHECK.is_valid(suite)
    with pytest.raises(InvalidInput, match="line"):
        load_suite(str(tmp_path / "own.yaml"))


def test_the_schema_knows_every_name_and_says_what_each_option_is() -> None:
    @METHODS.register("joined")
    class Joined(Method):
        """A method that joined later."""

        name = "joined"

        def stages(self) -> tuple[Stage, ...]:
            return ()

    schema = suite_schema()
    entry = schema["$defs"]["Entry"]["properties"]
    assert entry["tasks"]["items"]["enum"] == list(TASKS)
    assert entry["networks"]["items"]["enum"] == list(NETWORKS)
    *bare, optioned = entry["methods"]["items"]["anyOf"]
    assert set(optioned["properties"]) == set(METHODS)
    # Without options go those methods that need none.
    assert {method["const"] for method in bare} == set(METHODS) - {"burst", "quantised_ann"}
    assert {"const": "joined", "description": "A method that joined later."} in bare
    for name, place in optioned["properties"].items():
        options = schema["$defs"][place["$ref"].removeprefix("#/$defs/")]["properties"]
        assert options.keys() == METHODS[name].model_fields.keys()
        assert all(option["description"] for option in options.values())
