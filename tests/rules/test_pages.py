"""The design pages name what is there: every module, every kind of frame, every tag and type of the codec."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from econtext.child import kinds as further
from econtext.child import rich
from econtext.core import wire
from econtext.parent import values

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / 'docs' / 'design' / 'architecture.md').read_text()
WIRE = (ROOT / 'docs' / 'design' / 'wire.md').read_text()
RINGS = ('core', 'child', 'parent', 'controller')
SOURCE = ROOT / 'src' / 'econtext'
MODULES = [path for ring in RINGS for path in (SOURCE / ring).rglob('[!_]*.py')]


def kinds() -> dict[str, int]:
    """Return the kinds of frames: in `wire` each row is one tuple's targets, in `kinds` each has a line."""
    rows = re.findall(r'^((?:[A-Z]+, )+[A-Z]+) = range\(', Path(wire.__file__).read_text(), re.MULTILINE)
    names = {name: getattr(wire, name) for row in rows for name in row.split(', ')}
    lines = re.findall(r'^([A-Z]+) = \d+', Path(further.__file__).read_text(), re.MULTILINE)
    return names | {name: getattr(further, name) for name in lines}


@pytest.mark.parametrize('path', MODULES, ids=lambda path: '.'.join(path.relative_to(SOURCE).with_suffix('').parts))
def test_architecture_names_module(path: Path) -> None:
    ring, *rest = path.relative_to(SOURCE).with_suffix('').parts
    name = '.'.join([ring, *rest] if ring == 'parent' else rest)
    assert f'`{name}`' in ARCHITECTURE


@pytest.mark.parametrize(('kind', 'number'), kinds().items())
def test_wire_names_kind(kind: str, number: int) -> None:
    assert f'\n| {kind} | {number} |' in WIRE


def test_wire_names_no_other_kind() -> None:
    assert set(re.findall(r'^\| ([A-Z]+) \| \d+ \|', WIRE, re.MULTILINE)) == set(kinds())


def test_wire_names_tags() -> None:
    tags = {tag.decode() for tag in values.READERS}
    assert set(re.findall(r'^\| `(\w)` \|', WIRE, re.MULTILINE)) == tags


@pytest.mark.parametrize('name', [*rich.MAKERS, 'context', 'channel'])
def test_wire_names_type(name: str) -> None:
    assert f'`{name}`' in WIRE


def test_wire_tells_the_header() -> None:
    assert f'A header of {wire.HEADER_SIZE} bytes' in WIRE
    assert f'`{wire.FORMAT}`' in WIRE
    assert f'`0x{wire.MAGIC:X}`' in WIRE


# -- the figures of the README -------------------------------------------------

FIGURES = re.findall(
    r'^\| (.+?) \| (\S+ \S+ \| \S.*?) \|$', (ROOT / 'README.md').read_text().partition('## Why not another')[2],
    re.MULTILINE)  # fmt: skip
MEASURED = (ROOT / 'docs' / 'performance.md').read_text()


@pytest.mark.parametrize(('what', 'figures'), FIGURES)
def test_the_readme_s_figures_are_those_that_were_measured(what: str, figures: str) -> None:
    assert f'| {figures} |' in MEASURED.replace(' ! |', ' |'), f'{what}: python -m bench --docs wrote other figures'


def test_the_readme_compares() -> None:
    assert len(FIGURES) >= 5
