"""
What travels of econtext itself: its sources, small enough, and the preamble.

An installed package holds what a build has made, see ``hatch_build.py``.  A checkout makes it here and now, by the
packer, which takes longer to import than a context to start.

Invariants:

* Both ways give the same bytes.
* A package may lie in an archive.

Any thread may enter.
"""

from __future__ import annotations

import functools
import importlib.util
import marshal
import os
import sys
from typing import Any

from econtext.child import renewal

LOADER: Any = __spec__.loader
# Where ``econtext`` lies: two folders above this one.
FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
# Files of an installed package, named as in ``packer``, which a build loads alone: a checkout has none.
BUILT = 'preamble.bin'
BUILT_SOURCES = 'squeezed.bin'  # marshal of {name: squeezed source}
BUILT_BODIES = 'bodies.bin'  # marshal of {names of modules: the body that carries them}


@renewal.register
def after_fork() -> None:
    """A lock of the packer is another one here; a build loads the packer alone, so that registers nothing."""
    packer = sys.modules.get('econtext.controller.modules.packer')
    if packer is not None:
        packer.after_fork()


def read_source(name: str) -> str:
    """Return the source of a module of ours, be it in a folder or an archive."""
    spec = importlib.util.find_spec(name)
    get_source = getattr(spec and spec.loader, 'get_source', None)
    source: str | None = get_source and get_source(name)
    if source is None:
        raise ImportError('no source of %s: install econtext with its .py files' % name, name=name)
    return source


@functools.cache
def squeezed(name: str) -> str:
    """Return the squeezed source of the module `name` of ring 1 or 2."""
    built = built_sources().get(name)
    if built:
        return built
    from econtext.controller.modules import packer

    return packer.travelling(read_source(name))


@functools.cache
def preamble(order: tuple[str, ...]) -> bytes:
    """Return the preamble of the modules `order`: what was built, or in a checkout, made here and now."""
    built = read_built(BUILT)
    if built:
        return built
    from econtext.controller.modules import packer

    return packer.pack(packer.preamble_units(order, read_source))


@functools.cache
def built_sources() -> dict[str, str]:
    """Return what was squeezed when the package was built."""
    data = read_built(BUILT_SOURCES)
    return marshal.loads(data) if data else {}


@functools.cache
def built_bodies() -> dict[tuple[str, ...], bytes]:
    """Return what was compressed when the package was built."""
    data = read_built(BUILT_BODIES)
    return marshal.loads(data) if data else {}


def read_built(name: str) -> bytes | None:
    try:
        data: bytes = LOADER.get_data(os.path.join(FOLDER, name))
    except OSError:
        return None
    return data
