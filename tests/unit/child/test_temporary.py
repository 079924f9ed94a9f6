"""Each step beside the command that it stands for."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from econtext.child import temporary


def shell(line: str, data: bytes = b'') -> None:
    subprocess.run(['/bin/sh', '-c', line], input=data, check=True)


def looks(path: Path) -> list[tuple[str, int, bytes]]:
    """Return what is at `path` and below: names, modes and contents."""
    found = []
    for each in sorted([path, *path.rglob('*')]):
        content = each.read_bytes() if each.is_file() else b''
        found.append((str(each.relative_to(path)), stat.S_IMODE(each.lstat().st_mode), content))
    return found


@pytest.mark.parametrize('letters', ['x', 'rwx', 'r'])
@pytest.mark.parametrize('before', [0o600, 0o640, 0o2710, 0o000])
def test_steps_do_what_the_commands_do(tmp_path: Path, letters: str, before: int) -> None:
    ours, theirs = tmp_path / 'ours', tmp_path / 'theirs'
    bits = sum({'r': 0o400, 'w': 0o200, 'x': 0o100}[letter] for letter in letters)
    steps = [('folder', str(ours)), ('write', str(ours / 'file'), b'a\0b'), ('write', str(ours / 'empty'), b''),
             ('mode', bits, str(ours / 'other'), str(ours))]
    assert temporary.carry_out(steps[:3]) == 3
    shell(f'umask 077; mkdir {theirs}')
    shell(f'umask 077; cat > {theirs}/file', b'a\0b')
    shell(f'umask 077; cat > {theirs}/empty')
    for folder in ours, theirs:
        (folder / 'other').touch()
        (folder / 'other').chmod(before)
    assert temporary.carry_out(steps[3:]) == 1
    shell(f'chmod u+{letters} {theirs}/other {theirs}')
    assert looks(ours) == looks(theirs)
    assert temporary.carry_out([('remove', str(ours)), ('remove', str(ours))]) == 2
    assert not ours.exists()


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / 'file'
    path.write_bytes(b'longer than before')
    path.chmod(0o640)
    assert temporary.carry_out([('write', str(path), b'short')]) == 1
    assert looks(path) == [('.', 0o640, b'short')]


def test_nothing_is_done_behind_what_failed(tmp_path: Path) -> None:
    folder = tmp_path / 'folder'
    steps = [('folder', str(folder)), ('folder', str(folder)), ('write', str(folder / 'file'), b'')]
    assert temporary.carry_out(steps) == 1
    assert list(folder.iterdir()) == []
    assert temporary.carry_out([('folder', str(tmp_path / 'none' / 'folder'))]) == 0
    assert temporary.carry_out([('remove', str(folder)), ('mode', 0o100, str(folder))]) == 1
    assert not folder.exists()


def test_a_folder_below_a_file_is_not_there(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    shell(f'rm -f -r {tmp_path}/file/folder')
    assert temporary.carry_out([('remove', str(tmp_path / 'file' / 'folder'))]) == 1


def test_a_link_in_place_of_a_folder_is_left_to_the_command(tmp_path: Path) -> None:
    (tmp_path / 'there').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'there')
    assert temporary.carry_out([('remove', str(tmp_path / 'link'))]) == 0
    assert (tmp_path / 'there').is_dir()


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/somewhere')
    root = os.path.expanduser('~root')
    assert temporary.carry_out([('home', '', '/somewhere'), ('home', 'root', root), ('home', 'root', '/other')]) == 2
    echoed = subprocess.run(['/bin/sh', '-c', 'echo ~; echo ~root; echo ~no_such_user'], stdout=subprocess.PIPE,
                            text=True, check=True).stdout
    assert echoed.split() == ['/somewhere', root, os.path.expanduser('~no_such_user')]
