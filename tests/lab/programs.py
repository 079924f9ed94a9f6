"""Programs that tests write: files of modules, put on sys.path and imported, all undone later."""

from __future__ import annotations

import importlib
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
    return folder


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Writes files, puts their folder on sys.path and imports modules, as a program would; all undone later."""
    before = dict(sys.modules)

    def make(files: Mapping[str, str | bytes], *names: str, place: str = 'application') -> Any:
        monkeypatch.syspath_prepend(str(write(tmp_path / place, files)))
        importlib.invalidate_caches()
        modules = [importlib.import_module(name) for name in names]
        return modules[0] if len(modules) == 1 else modules

    finders = list(sys.meta_path)
    yield make
    sys.meta_path[:] = finders
    for name in set(sys.modules) - set(before):
        if not name.startswith('econtext'):
            del sys.modules[name]
    linecache.clearcache()
