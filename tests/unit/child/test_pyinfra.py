"""What the connector of pyinfra has a context do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from econtext.child import pyinfra


def test_a_change_of_what_a_login_reads_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / 'group'
    monkeypatch.setattr(pyinfra, 'FIRST', [])
    monkeypatch.setattr(pyinfra, 'SOURCES', (str(group), str(tmp_path / 'missing')))
    group.write_text('a')
    assert not pyinfra.is_stale()
    assert not pyinfra.is_stale()
    group.write_text('ab')
    assert pyinfra.is_stale()
    assert pyinfra.run([b'touch', str(tmp_path / 'run')], b'', None, True, []) == (pyinfra.STALE, 0, [])
    assert not (tmp_path / 'run').exists()


def test_a_file_keeps_its_mode_and_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / 'file'
    path.write_text('longer before')
    path.chmod(0o640)
    assert pyinfra.write(os.fsencode(path), b'after') == (0, '')
    assert (path.read_text(), path.stat().st_mode & 0o777) == ('after', 0o640)
    code, text = pyinfra.write(os.fsencode(tmp_path / 'no' / 'file'), b'')
    assert (code, bool(text)) == (2, True)
