"""The first stage, on every interpreter and through every login shell at hand."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.parent import command

SHELLS = [shell for shell in 'sh bash dash zsh ksh mksh csh tcsh fish'.split() if shutil.which(shell)]
SECONDS = 20.0

# Tells where it looks for modules, and what it was given in all and behind the preamble.
PREAMBLE = zlib.compress(b"""
import hashlib, json
rest = d.unused_data
while 1:
    c = os.read(0, 4096)
    if not c:
        break
    b += c
    rest += c
said = [sys.path[:], os.__file__, hashlib.md5(b).hexdigest(), hashlib.md5(rest).hexdigest()]
os.write(1, repr(said).encode())
""")
FRAMES = bytes(range(256)) * 64


def interpreters() -> list[str]:
    """One of each kind: this one, those that PATH names, and those of a version manager."""
    found = {os.path.realpath(sys.executable): sys.executable}
    root = os.environ.get('PYENV_ROOT', os.path.expanduser('~/.pyenv'))
    paths = [shutil.which('python%s' % v) for v in ('2', '2.7', '3', *('3.%d' % minor for minor in range(6, 16)))]
    for path in paths + sorted(glob.glob(root + '/versions/*/bin/python')):
        if path and 'shims' not in path:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def run(argv: list[str], data: bytes, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, input=data, capture_output=True, timeout=SECONDS, **options)  # type: ignore[call-overload]


def said(output: bytes) -> tuple[list[str], str, str, str]:
    path, module, whole, rest = eval(output)
    return path, module, whole, rest


def right(output: bytes) -> bool:
    _, _, whole, rest = said(output)
    return whole == hashlib.md5(PREAMBLE + FRAMES).hexdigest() and rest == hashlib.md5(FRAMES).hexdigest()


@pytest.mark.parametrize('python', interpreters())
class TestCode:
    def test_runs_the_preamble_and_leaves_what_follows_it(self, python: str) -> None:
        done = run(command.argv([python]), PREAMBLE + FRAMES)
        assert done.stderr == b''
        assert right(done.stdout)

    def test_takes_a_preamble_that_comes_byte_by_byte(self, python: str) -> None:
        with subprocess.Popen(command.argv([python]), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdin
            assert child.stdout
            for i in range(len(PREAMBLE)):
                os.write(child.stdin.fileno(), PREAMBLE[i : i + 1])
            os.write(child.stdin.fileno(), FRAMES[:1])
            os.write(child.stdin.fileno(), FRAMES[1:])
            child.stdin.close()
            assert right(child.stdout.read())

    @pytest.mark.parametrize('size', [0, 1, len(PREAMBLE) // 2, len(PREAMBLE)])
    def test_ends_at_end_of_file(self, python: str, size: int) -> None:
        done = run(command.argv([python]), PREAMBLE[:size])
        assert (done.returncode, done.stdout, done.stderr) == (command.NO_INPUT, b'', b'')

    def test_neither_folder_nor_variables_change_anything(self, python: str, tmp_path: Path) -> None:
        for name in 'zlib', 'os', 'hashlib', 'json', 'sitecustomize':
            (tmp_path / (name + '.py')).write_text('import sys; sys.stdout.write("trap"); sys.exit(3)')
        traps = {name: str(tmp_path) for name in ('PYTHONPATH', 'PYTHONHOME', 'PYTHONSTARTUP')}
        done = run(command.argv([python]), PREAMBLE + FRAMES, cwd=tmp_path, env={**os.environ, **traps})
        assert right(done.stdout)
        path, module, _, _ = said(done.stdout)
        assert not {'', '.', str(tmp_path)} & set(path)
        assert not module.startswith(str(tmp_path))


@pytest.mark.parametrize('shell', SHELLS)
class TestShell:
    @pytest.mark.parametrize('pythons', [command.PYTHONS, (sys.executable,), (('env', '-u', 'X', sys.executable),)])
    def test_line_passes_unharmed(self, shell: str, pythons: tuple[str, ...]) -> None:
        done = run([shell, '-c', command.shell(pythons)], PREAMBLE + FRAMES)
        assert done.stderr == b''
        assert right(done.stdout)

    def test_interpreter_whose_path_is_strange(self, shell: str, tmp_path: Path) -> None:
        python = tmp_path / 'it\'s $HOME `a` !b \\n \\\\ "c" *? {d,e} ~ #\\'
        python.symlink_to(sys.executable)
        for pythons in (str(python),), ('no-such-python', str(python)):
            assert right(run([shell, '-c', command.shell(pythons)], PREAMBLE + FRAMES).stdout)

    def test_no_interpreter_is_status_127(self, shell: str) -> None:
        assert run([shell, '-c', command.shell(['no-such-python', 'nor-this'])], PREAMBLE).returncode == 127

    def test_quotes_every_character(self, shell: str) -> None:
        # Printable ASCII in an order that brings a backslash before quotes, letters, itself and the end.
        words = [bytes(range(32, 127)).decode(), "\\'\\\\a\\!\\\\\\ '\\", '', 'plain', '!!', "'", '\\', '-n', 'ü→']
        line = ' '.join(command.quote(word) for word in [sys.executable, '-Sc', SHOW, *words])
        assert eval(run([shell, '-c', line], b'').stdout) == words


SHOW = 'import sys; sys.stdout.write(ascii(sys.argv[1:]))'


def test_no_shell_sees_a_single_interpreter() -> None:
    assert command.argv(['/opt/my python']) == ['/opt/my python', '-Ec', command.CODE]
    assert command.argv([['nice', 'python3']]) == ['nice', 'python3', '-Ec', command.CODE]


def test_code_can_stand_in_every_shell() -> None:
    assert not set(command.CODE) & set("'\n!")
    assert command.CODE.isascii()


@given(st.text(st.characters(codec='utf-8', exclude_characters='\0\n'), max_size=12))
def test_sh_reads_back_any_word(word: str) -> None:
    assert run(['sh', '-c', 'printf %%s %s' % command.quote(word)], b'').stdout == word.encode()


@pytest.mark.parametrize('python', ['', [], (), ['python3', ''], 3, ['python3', None], 'python\n3', b'python3'])
def test_what_cannot_be_an_interpreter_is_refused(python: object) -> None:
    with pytest.raises(ValueError, match='python='):
        command.candidates(python)  # type: ignore[arg-type]


def test_candidates() -> None:
    assert command.candidates(None) == command.PYTHONS
    assert command.argv(command.candidates('python3')) == ['python3', '-Ec', command.CODE]
