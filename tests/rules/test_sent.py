"""What the tests send to contexts of every Python is of the grammar of 2.4, as what they test is."""

from __future__ import annotations

from pathlib import Path

import polyglot
import pytest

TESTS = Path(__file__).parents[1]
FOLDERS = ('features/travel', 'features/errands', 'features/relays', 'reliability/stops', 'pythons/crossing')
# For the program's own Python, or for those that have what they are about.
EXEMPT = {
    'errands/awaited.py': 'for Pythons with BaseException, which a deadline of asyncio is to end',
    'errands/coroutines.py': 'coroutine functions, for Pythons that have them',
    'errands/program.py': 'a program that starts contexts',
    'stops/controller.py': 'a program that starts contexts',
    'stops/proxy.py': 'a program between the ends of a link',
    'stops/forking.py': 'for Pythons with multiprocessing',
    'stops/slow.py': 'a program in front of a context',
    'stops/spawned.py': 'for Pythons with multiprocessing',
    'errands/fleets.py': "for the program's own Python: generators that tell how they were ended",
    'errands/wrong.py': 'generators and coroutines, for Pythons that have them',
    'travel/raising.py': 'exceptions of every kind, some of which are newer',
    'travel/modelled.py': 'classes of attrs and pydantic, which are newer',
    'travel/classes.py': 'registered classes, such as dataclasses',
}
SENT = sorted(path for folder in FOLDERS for path in (TESTS / folder).rglob('*.py')
              if f'{path.parent.name}/{path.name}' not in EXEMPT)


@pytest.mark.parametrize('path', SENT, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_file(path: Path) -> None:
    assert [(line, why) for line, why in sorted(polyglot.complaints(path.read_text('utf-8')))] == []


def test_exemptions_are_files() -> None:
    there = {f'{path.parent.name}/{path.name}' for folder in FOLDERS for path in (TESTS / folder).rglob('*.py')}
    assert set(EXEMPT) <= there
