"""Recognize packed modules, and nothing else."""

from __future__ import annotations

import base64
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from econtext.ansible import payload
from econtext.ansible.payload import Payload, interpreter_of, recognized

ARCHIVE = base64.b64encode(b'PK an archive').decode()
PARTS: dict[str, Any] = {
    'ansible_module': 'ping', 'module_fqn': 'ansible.modules.ping',
    'params': '{"ANSIBLE_MODULE_ARGS": {"data": "it\'s"}}', 'profile': 'legacy',
    'date_time': 'datetime.datetime(2026, 1, 1)', 'extensions': {}, 'rlimit_nofile': 0, 'zip_data': ARCHIVE,
}
FOUND = Payload(ARCHIVE.encode(), 'ansible.modules.ping', PARTS['params'].encode(), 'legacy', 0)

OLD = """#!/usr/bin/python3
_ANSIBALLZ_WRAPPER = True
def _ansiballz_main():
{limit}
    ZIPDATA = {archive!r}
        runpy.run_module(mod_name={module!r}, init_globals=dict(_module_fqn={module!r}, _modlib_path=modlib_path),
    ANSIBALLZ_PARAMS = {params!r}
if __name__ == '__main__':
    _ansiballz_main()
"""


def called(code: str = 'def _ansiballz_main(): ...', end: str = ')\n', **changes: Any) -> bytes:
    """Return a packed module of the newer form, with these parts instead of the usual ones; None leaves one out."""
    parts = {**PARTS, **changes}
    lines = [f'{name}={value if name == "date_time" else repr(value)},'
             for name, value in parts.items() if value is not None]
    return f'{code}\n\nif __name__ == "__main__":\n    _ansiballz_main(\n{chr(10).join(lines)}\n{end}'.encode()


def program(limit: str = '', archive: str = ARCHIVE, module: str = 'ansible.modules.ping', params: str = '{}') -> bytes:
    """Return a packed module of the older form."""
    return OLD.format(limit=limit, archive=archive, module=module, params=params).encode()


def test_the_forms() -> None:
    assert recognized(called()) == FOUND
    for name in PARTS:
        # Each release has an order of its own.
        alone = called(**{other: None for other in PARTS if other != name}).decode()
        end = alone.rpartition('_ansiballz_main(\n')[2]
        assert recognized(called(**{name: None}, end=end)) == FOUND
    assert recognized(called(rlimit_nofile=64)) == FOUND._replace(open_files=64)
    assert recognized(program()) == FOUND._replace(params=b'{}', profile='')
    assert recognized(program().rstrip()) == FOUND._replace(params=b'{}', profile='')
    limited = program('    requested_soft = min(existing_hard, 512)')
    assert recognized(limited) == FOUND._replace(params=b'{}', profile='', open_files=512)


@pytest.mark.parametrize('changes', [
    {'extensions': {'_debugpy': {}}}, {'profile': None}, {'profile': ''}, {'zip_data': 'no base64!'}, {'zip_data': 5},
    {'zip_data': None}, {'zip_data': ''}, {'zip_data': 'UEs'}, {'end': "zip_data='UEsD',)\n"}, {'end': '**{})\n'},
    {'rlimit_nofile': -1}, {'rlimit_nofile': True}, {'rlimit_nofile': None}, {'params': b'{}'}, {'module_fqn': 'a b'},
    {'module_fqn': ''}, {'new_argument': 1}, {'end': ')\nimport os\n'}, {'end': ') + f(\n)\n'}, {'end': ''},
])  # fmt: skip
def test_what_is_no_packed_module(changes: dict[str, Any]) -> None:
    assert recognized(called(**changes)) is None


@pytest.mark.parametrize('data', [
    program() + b'\n', program(module='a b'), program(archive='no base64!'), program(archive='UEs'),
    program('    import coverage'),
    program() + program(), program('    requested_soft = min(existing_hard, 512)\n' * 2),
    b'', b'#!/usr/bin/python\nprint(1)\n', b'\n\nif __name__ == "__main__":\n    _ansiballz_main(\n' + b'(' * 10_000,
])  # fmt: skip
def test_what_is_no_packed_program(data: bytes) -> None:
    assert recognized(data) is None


@given(params=st.text(), module=st.from_regex(r'[a-z_]+(\.[a-z_]+)*', fullmatch=True), content=st.binary(min_size=1),
       limit=st.integers(0, 1 << 20), profile=st.text(min_size=1))  # fmt: skip
def test_the_parts_are_what_was_packed(params: str, module: str, content: bytes, limit: int, profile: str) -> None:
    archive = base64.b64encode(content).decode()
    params = params.encode('utf-8', 'replace').decode()
    profile = profile.encode('utf-8', 'replace').decode()
    found = recognized(called(params=params, module_fqn=module, zip_data=archive, rlimit_nofile=limit, profile=profile))
    assert found == Payload(archive.encode(), module, params.encode(), profile, limit)
    found = recognized(program(params=params, module=module, archive=archive))
    assert found == Payload(archive.encode(), module, params.encode(), '', 0)


@given(st.data())
def test_a_part_of_one_is_none(data: st.DataObject) -> None:
    for whole in called(), program():
        # The last characters are white space, which says nothing.
        end = data.draw(st.integers(0, len(whole.rstrip()) - 1))
        assert recognized(whole[:end]) is None


@given(st.binary())
def test_any_bytes_are_looked_at_without_harm(data: bytes) -> None:
    assert recognized(data) is None
    assert recognized(payload.CALL + data) is None
    recognized(data + payload.OLD_END)


@given(st.integers(0, len(called()) - 1), st.integers(0, 255))
def test_a_changed_byte_changes_no_more_than_a_part(at: int, byte: int) -> None:
    whole = bytearray(called())
    whole[at] = byte
    found = recognized(bytes(whole))
    if found is not None:
        assert sum(ours != theirs for ours, theirs in zip(found, FOUND, strict=True)) <= 1


@pytest.mark.parametrize(('words', 'found'), [
    (['/usr/bin/python3'], ({}, '/usr/bin/python3')),
    (['/usr/bin/python3', '&&', 'sleep', '0'], ({}, '/usr/bin/python3')),
    (['A=b c', 'D=', '/usr/bin/python3'], ({'A': 'b c', 'D': ''}, '/usr/bin/python3')),
    (['python3'], None), (['/usr/bin/env', 'python3'], None), ([], None), (['A=b'], None),
    (['/usr/bin/python3', '-x'], None), (['/usr/bin/python3', '&&', 'sleep', '1'], None),
])  # fmt: skip
def test_the_interpreter_of_a_command(words: list[str], found: Any) -> None:
    assert interpreter_of(words) == found


@pytest.mark.parametrize(('text', 'found'), [
    ('#!/usr/bin/python3\n', '/usr/bin/python3'), ('#! /a/b \r\nx', '/a/b'), ('#!/usr/bin/env python3\n', None),
    ('#!python\n', None), ('x\n#!/a\n', None), ('', None), ('#!/a', None),
])  # fmt: skip
def test_the_interpreter_of_a_first_line(text: str, found: str | None) -> None:
    assert payload.shebang(text.encode()) == found
