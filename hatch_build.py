"""
Put into the wheel what travels, made small once, when the package is built.

That is the preamble, and the squeezed sources of what follows it.  A checkout
makes them when a first context starts.  So they are not left in ``src/``, where
they would grow stale: an editable installation goes without.  Only ``scripts/test`` has
them there while it runs, for the many programs that tests start.
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
    """Add the files that the packer makes beside the package's modules."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == 'editable':
            return
        self.folder = tempfile.TemporaryDirectory()
        for name, content in built_files(Path(self.root, 'src')).items():
            built = Path(self.folder.name, name)
            built.write_bytes(content)
            build_data['force_include'][str(built)] = 'econtext/' + name

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != 'editable':
            self.folder.cleanup()


def built_files(source: Path) -> dict[str, bytes]:
    """Return name -> content of what a built package holds beside the modules in `source`."""
    modules = source / 'econtext' / 'controller' / 'modules'
    packer, manifest = load(modules / 'packer.py'), load(modules / 'manifest.py')
    paths = [path for ring in manifest.RINGS for path in sorted((source / 'econtext' / ring).glob('*.py'))]
    texts = {name_of(path.relative_to(source)): path.read_text('utf-8') for path in paths}
    files: dict[str, bytes] = packer.built_files(manifest.PREAMBLE, list(texts), texts.__getitem__)
    return files


def name_of(path: Path) -> str:
    """Return the name of the module at `path`, which starts at the package."""
    return '.'.join(part for part in path.with_suffix('').parts if part != '__init__')


def load(path: Path) -> ModuleType:
    """Import the module at `path` without importing the package around it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, 'a path that ends in .py has a loader'
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
