"""Packed modules made older: for which targets, once, and with nothing of a module's arguments kept."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from econtext.ansible import downlevel, old_targets, payload
from econtext.ansible.archives import Archive, Archives
from econtext.ansible.old_targets import OldTargets, needed, program_of
from econtext.ansible.payload import Payload

MODULE = 'ansible/modules/ping.py'
SOURCE = b'from __future__ import annotations\n(x := 1)\n'
WRAPPER = """#!/usr/bin/python3.6
from __future__ import annotations
def _ansiballz_main(zip_data: str, extensions: dict[str, dict[str, object]], **rest: object) -> None:
    print(f'{rest!r}')


if __name__ == "__main__":
    _ansiballz_main(
zip_data=%r,
ansible_module='ping',
module_fqn='ansible.modules.ping',
params=%r,
profile='legacy',
date_time=datetime.datetime(2026, 1, 1),
extensions={},
rlimit_nofile=0,
)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(old_targets.KEEPS, raising=False)
    monkeypatch.setenv(old_targets.PLACE, str(tmp_path / 'kept'))
    return tmp_path / 'kept' / old_targets.FOLDER


def packed(members: dict[str, bytes], params: str = '{}') -> tuple[bytes, Payload, Archive]:
    """Return a packed module, as a program and taken apart."""
    text = base64.b64encode(Archive(b'', members).zipped()).decode()
    program = (WRAPPER % (text, params)).encode()
    found = payload.recognized(program)
    assert found is not None
    return program, found, Archives().open(found.archive)


@pytest.mark.parametrize(('version', 'minimum', 'target'), [
    ((3, 6, 15), (3, 8), (3, 6)), ((3, 7, 16), (3, 9), (3, 7)), ((3, 8, 18), (3, 9), (3, 8)),
    ((3, 8, 18), (3, 8), None), ((3, 9, 18), (3, 9), None), ((3, 13, 0), (3, 9), None),
    ((3, 9, 18), (3, 10), None),    # no release is like that yet
    ((3, 5, 2), (3, 8), None), ((2, 7, 18), (3, 8), None),
])  # fmt: skip
def test_for_which_targets(version: tuple[int, ...], minimum: tuple[int, int], target: tuple[int, int] | None) -> None:
    archive = Archive(b'', {'ansible/module_utils/basic.py': b'_PY_MIN = (%d, %d)\n' % minimum})
    assert needed(archive, version) == target


def closed(targets: OldTargets) -> None:
    targets._thread.shutdown()
    if targets._store is not None:
        targets._store.close()


def test_an_archive_is_made_older_once(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    made = []
    make = downlevel.downlevel_members
    monkeypatch.setattr(downlevel, 'downlevel_members', lambda *args: made.append(args[1]) or make(*args))
    _, found, archive = packed({MODULE: SOURCE})

    async def run() -> list[Archive]:
        targets = OldTargets()
        try:
            return await asyncio.gather(
                *[targets.archive(archive, found, (3, minor)) for minor in (6, 7, 6, 7, 6)])
        finally:
            closed(targets)

    first, second, *rest = asyncio.run(run())
    assert sorted(made) == [(3, 6), (3, 7)]
    assert rest == [first, second, first]
    assert first.members() == {MODULE: b'pass\nx = 1\nx\n'}
    assert len({first.digest, second.digest, archive.digest}) == 3
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize('variables', [{old_targets.KEEPS: 'False'}, {old_targets.PLACE: '/proc/no/folder'}])
def test_it_works_where_nothing_can_be_kept(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, folder: Path,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    _, found, archive = packed({MODULE: SOURCE})

    async def run() -> Archive:
        targets = OldTargets()
        try:
            return await targets.archive(archive, found, (3, 6))
        finally:
            closed(targets)

    assert asyncio.run(run()).members() == {MODULE: b'pass\nx = 1\nx\n'}
    assert not folder.exists()


def test_a_source_that_cannot_be_made_older(folder: Path) -> None:
    newer = b'match x:\n  case _: pass\n'
    _, found, archive = packed({MODULE: SOURCE, 'ansible/module_utils/later.py': newer})
    _, refused, own = packed({MODULE: newer})

    async def run() -> Archive:
        targets = OldTargets()
        try:
            with pytest.raises(downlevel.TooNew, match=(
                    r'modules/ping\.py cannot be made to run on Python 3\.6: a match statement, line 1\. Use a newer')):
                await targets.archive(own, refused, (3, 6))
            return await targets.archive(archive, found, (3, 6))
        finally:
            closed(targets)

    made = asyncio.run(run())
    assert list(made.refused) == ['ansible/module_utils/later.py']
    with pytest.raises(SyntaxError, match=r'later\.py cannot be made to run on Python 3\.6: a match statement'):
        exec(made.members()['ansible/module_utils/later.py'])


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=9), st.text(max_size=30), max_size=3))
def test_the_program_around_an_archive(arguments: dict[str, str]) -> None:
    params = json.dumps({'ANSIBLE_MODULE_ARGS': arguments}, ensure_ascii=True)
    program, found, _ = packed({MODULE: SOURCE}, params)
    older = Archive(b'', {MODULE: b'x = 1\n'})
    made = program_of(program, found, older, (3, 6))
    names: dict[str, object] = {}
    text = made.decode()
    assert text.startswith('#!/usr/bin/python3.6\n')
    assert 'annotations\n' not in text
    start, _, call = text.rpartition("if __name__ == '__main__':")
    exec(call.strip(), {'_ansiballz_main': lambda **given: names.update(given), 'datetime': __import__('datetime')})
    assert names['params'] == params
    assert names['zip_data'] == base64.b64encode(older.zipped()).decode()
    assert set(names) == set(payload.ARGUMENTS)
    assert '_ansiballz_main(' in start


def test_arguments_that_look_like_anything_stay(folder: Path) -> None:
    program, found, _ = packed({MODULE: SOURCE}, '{"ANSIBLE_MODULE_ARGS": {"x": "@econtext@ #!/bin/sh"}}')
    made = program_of(program, found, Archive(b'', {}), (3, 6))
    assert made.count(b'@econtext@ #!/bin/sh') == 1
    assert not folder.exists()
