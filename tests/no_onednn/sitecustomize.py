"""Switches oneDNN off in every Python process whose PYTHONPATH names this folder: torch reads no variable for it."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType


class WithoutOneDnn(importlib.abc.MetaPathFinder):
    """Waits for torch: a process that never imports it, which some tests are about, is to go on without."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def switched_off(module: ModuleType) -> None:
            execute(module)
            module.backends.mkldnn.enabled = False

        spec.loader.exec_module = switched_off  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, WithoutOneDnn())
