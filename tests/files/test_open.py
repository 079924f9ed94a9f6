"""context.open(): a file object of a file there, as the built-in function gives one of a file here."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

import econtext
from lab import eventually, pythons


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


@pytest.mark.every_python
def test_read_and_write(broker: econtext.Broker, python: pythons.Interpreter, tmp_path: Path) -> None:
    web = broker.local(python=python)
    path = tmp_path / 'x'
    data = random.Random(1).randbytes(3_000_000) + 'café'.encode()
    with web.open(path, 'wb') as file:
        assert file.write(data) == len(data)
    assert path.read_bytes() == data
    with web.open(path, 'rb') as file:
        assert file.read(10) == data[:10]
        assert file.read() == data[10:]
        assert file.seek(-5, 2) == len(data) - 5
        assert file.read() == data[-5:]
        assert file.seek(1_000_000) == 1_000_000
        assert file.read(7) == data[1_000_000:1_000_007]
        assert file.tell() == 1_000_007
    with web.open(path, 'w') as file:
        file.write('eins\nzwei é\n')
    with web.open(path) as file:
        assert list(file) == ['eins\n', 'zwei é\n']
    with web.open(path, 'a') as file:
        file.write('drei')
    assert path.read_text('utf-8') == 'eins\nzwei é\ndrei'
    with web.open(path, 'r+b') as file:
        file.seek(2)
        file.write(b'XX')
        file.seek(0)
        assert file.readline() == b'eiXX\n'
        file.truncate(4)
    assert path.read_bytes() == b'eiXX'


def test_errors(child: econtext.Context, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='child: ') as caught:
        child.open(tmp_path / 'no')
    assert caught.value.filename == str(tmp_path / 'no')
    with pytest.raises(IsADirectoryError):
        child.open(tmp_path)
    (tmp_path / 'x').write_bytes(b'x')
    with pytest.raises(FileExistsError):
        child.open(tmp_path / 'x', 'x')
    for mode in ('', 'q', 'rw', 'rr', 'rbt', 'b'):
        with pytest.raises(ValueError, match='mode'):
            child.open(tmp_path / 'x', mode)
    with pytest.raises(ValueError, match='encoding'):
        child.open(tmp_path / 'x', 'rb', encoding='utf-8')
    with pytest.raises(LookupError):
        child.open(tmp_path / 'x', encoding='no such thing')
    with child.open(tmp_path / 'x') as file, pytest.raises(io.UnsupportedOperation):
        file.write('x')
    with pytest.raises(ValueError, match='closed'):
        file.read()


def test_an_error_of_a_write_shows(child: econtext.Context) -> None:
    file = child.open('/dev/full', 'wb')
    file.write(b'x' * 100)
    with pytest.raises(OSError, match='No space'):
        file.flush()
    file.close()
    file = child.open('/dev/full', 'wb', buffering=0)
    file.write(b'x' * 100)
    with pytest.raises(OSError, match='No space'):
        file.close()
    assert file.closed


def test_what_has_no_places(child: econtext.Context) -> None:
    with child.open('/dev/null', 'wb') as file:
        file.write(b'x')
    with child.open('/proc/self/cmdline', 'rb') as file:
        assert b'\0' in file.read()


def test_a_file_that_grows_is_read_on(child: econtext.Context, tmp_path: Path) -> None:
    path = tmp_path / 'log'
    path.write_text('one\n')
    with child.open(path) as file, path.open('a') as log:
        assert file.read() == 'one\n'
        log.write('two\n')
        log.flush()
        assert file.read() == 'two\n'


def test_a_file_that_is_garbage_is_closed(child: econtext.Context, tmp_path: Path) -> None:
    file = child.open(tmp_path / 'x', 'wb')
    file.write(b'some')
    files = [file]
    del file
    with pytest.warns(ResourceWarning, match='child'):
        files.clear()
    eventually(lambda: (tmp_path / 'x').read_bytes() == b'some')


STEP = st.one_of(
    st.tuples(st.just('read'), st.integers(0, 700_000)),
    st.tuples(st.just('write'), st.integers(0, 700_000)),
    st.tuples(st.just('seek'), st.integers(0, 1_500_000)),
    st.tuples(st.just('truncate'), st.integers(0, 1_500_000)),
    st.tuples(st.just('tell'), st.just(0)),
)


def test_does_what_a_file_here_does(child: econtext.Context, tmp_path: Path) -> None:
    """Whatever is done to it, in any order."""

    @hypothesis.settings(max_examples=60)
    @hypothesis.given(st.lists(STEP, max_size=12), st.sampled_from([0, -1, 5000]))
    def check(steps: list[tuple[str, int]], buffering: int) -> None:
        here, there = tmp_path / 'here', tmp_path / 'there'
        data = random.Random(len(steps)).randbytes(1_000_000)
        here.write_bytes(data)
        there.write_bytes(data)
        with here.open('r+b') as mine, child.open(there, 'r+b', buffering) as its:
            for what, number in steps:
                results = [act(file, what, number, buffering == 0) for file in (mine, its)]
                assert results[0] == results[1], what
        assert here.read_bytes() == there.read_bytes()

    check()


def act(file: Any, what: str, number: int, raw: bool) -> Any:
    if what == 'write':
        return file.write(b'%d' % number * (number // 5))
    if what == 'read':
        parts = [file.read(number)]
        while raw and parts[-1] and sum(map(len, parts)) < number:
            parts.append(file.read(number - sum(map(len, parts))))
        return b''.join(parts)
    return getattr(file, what)(*([] if what == 'tell' else [number]))
