"""Discovery of methods, tasks and networks: files in the tree, and entry points of installed packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import run_all
from benchmarks.suites.plugins import GROUP, load_plugins, origin
from conversion.errors import BenchmarkError
from conversion.methods import METHODS, Burst
from conversion.registry import import_modules

ROOT = Path(__file__).parents[3]
METHOD = """
from conversion.methods import METHODS, Method

@METHODS.register("{name}")
class Own(Method):
    def stages(self):
        return ()
"""
TASK = """
from tasks import TASKS
from tasks.images.digits import Digits

@TASKS.register("own_task")
class Own(Digits): ...
"""
NETWORK = """
from adapters import NETWORKS
from adapters.images.digits import DigitsNetwork

@NETWORKS.register("own_network")
class Own(DigitsNetwork): ...
"""
Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a module with this text, and the metadata of a distribution that names it, where Python looks."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = []

    def put(distribution: str, module: str, text: str) -> None:
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(text)
        metadata = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{module} = {module}\n")
        load_plugins.cache_clear()

    yield put
    load_plugins.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


def test_an_installed_package_registers_its_method_once(install: Install) -> None:
    install("own-package", "own_methods", METHOD.format(name="own_method"))
    (plugin,) = load_plugins()
    assert (plugin.module, plugin.distribution) == ("own_methods", "own-package 1.2")
    assert load_plugins() is load_plugins()
    assert origin(METHODS["own_method"]) == "own-package 1.2"
    assert origin(Burst) is None


def test_a_plugin_that_fails_is_one_line_and_the_rest_goes_on(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("a-broken-package", "own_broken", "import a_library_that_is_not_there")
    install("b-own-package", "own_methods", METHOD.format(name="own_method"))
    load_plugins()
    assert "own_method" in METHODS
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "Warning: the plug-in a-broken-package 1.2 is left out, because its module own_broken cannot be imported: "
        "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"
    )


@pytest.mark.parametrize("text", ["raise SystemExit(3)", "def", "1 / 0"])
def test_whatever_a_plugin_does_on_import_stops_nothing(
    text: str, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("own-package", "own_broken", text)
    assert load_plugins() == ()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_name_that_is_taken_is_refused_naming_both(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("own-package", "own_methods", METHOD.format(name="burst"))
    with pytest.raises(BenchmarkError) as raised:
        load_plugins()
    assert str(raised.value) == (
        "The plug-in own-package 1.2 cannot be used. The method 'burst' is registered twice, by "
        "conversion.methods.burst.Burst and by own_methods.Own; rename one of them."
    )
    monkeypatch.setattr(sys, "argv", ["run_all.py", "list", "methods"])
    with pytest.raises(SystemExit) as stopped:
        run_all.main()
    assert stopped.value.code == 2


@pytest.mark.slow
def test_one_file_in_the_tree_is_enough(tmp_path: Path) -> None:
    """A copy of the packages, so that the checkout stays as it is."""
    for package in ("conversion", "tasks", "adapters", "benchmarks"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run_all.py", tmp_path)
    (tmp_path / "conversion/methods/own.py").write_text(METHOD.format(name="own_method"))
    (tmp_path / "tasks/own.py").write_text(TASK)
    (tmp_path / "adapters/own.py").write_text(NETWORK)
    script = (
        "from adapters import NETWORKS; from conversion.methods import METHODS; from tasks import TASKS; "
        "print('own_method' in METHODS, 'own_task' in TASKS, 'own_network' in NETWORKS)"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True"] * 3


def test_a_file_that_cannot_be_imported_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "own_tree"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "wrong.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ImportError, match=r"The module own_tree\.wrong cannot be imported: ZeroDivisionError: division by zero"
    ):
        import_modules("own_tree", [str(package)])
