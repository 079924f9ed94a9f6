"""
Put the preamble into the wheel, made once, when the package is built.

A checkout has none and makes it when a first context starts.  So it is never
written into ``src/``, where it would grow stale: an editable installation goes
without.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PreambleHook(BuildHookInterface[BuilderConfig]):
    """Pack `core/` and add the result beside the package's modules."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == 'editable':
            return
        source = Path(self.root, 'src')
        packer = load(source / 'econtext' / 'controller' / 'packer.py')

        def read(name: str) -> str:
            path = source.joinpath(*name.split('.'))
            if path.is_dir():
                path = path / '__init__'
            return path.with_suffix('.py').read_text('utf-8')

        self.folder = tempfile.TemporaryDirectory()
        built = Path(self.folder.name, packer.BUILT)
        built.write_bytes(packer.pack(packer.preamble_units(read)))
        build_data['force_include'][str(built)] = 'econtext/' + packer.BUILT

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != 'editable':
            self.folder.cleanup()


def load(path: Path) -> ModuleType:
    """Import the module at `path` without importing the package around it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, 'a path that ends in .py has a loader'
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
