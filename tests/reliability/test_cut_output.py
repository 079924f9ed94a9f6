"""A link that breaks off while output is on its way: each line arrives, or that some may be missing is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import floods
import pytest

import econtext
from econtext.core.wire import HEADER_SIZE, LOG, MARK, RESULT, STDIO, Decoder
from lab import pythons
from lab.hearing import Texts, hearing

MISSING = 'may be missing'
PROXY = str(Path(__file__).with_name('stops') / 'proxy.py')


@pytest.fixture
def heard() -> Iterator[list[str]]:
    with hearing(Texts()) as handler:
        yield handler.all


class Recording:
    """All that a context says up its link, and a program that says it again, as far as it is let."""

    def __init__(self, folder: Path, version: str) -> None:
        self.tape, self.fifo = folder / 'tape', folder / 'fifo'
        self.python = ['sh', '-c', f'exec 2>/dev/null; "$@" | tee {self.tape}', 'sh', pythons.interpreter(version)]
        os.mkfifo(self.fifo)

    def play(self, length: int) -> list[str]:
        """Return the words that take the place of an interpreter; they wait for the fifo."""
        return ['sh', '-c', f'cat {self.fifo} >/dev/null; head -c {length} {self.tape}', 'sh']

    def frames(self) -> list[tuple[int, int, int]]:
        """Return the frames up to the answer: kind, where each begins, and where it ends."""
        data = self.tape.read_bytes()
        at = data.index(MARK) + len(MARK)
        found = []
        for kind, _, _, handle, body in Decoder(lambda *header: True).feed(data[at:]):
            found.append((kind, at, at + HEADER_SIZE + len(body)))
            at = found[-1][2]
            if kind == RESULT and handle:
                break
        return found


def ask(python: list[str], work: Callable[[], str], fifo: Path | None = None) -> str:
    """Call `work` in a context of a broker of its own; return what came of it."""
    with econtext.Broker() as broker:
        context = broker.local(python=python, name='source')
        future = context.submit(work)
        if fifo:
            fifo.write_bytes(b'')
        try:
            return future.result(60)
        except econtext.ContextLost as error:
            return str(error)


def test_at_each_byte(tmp_path: Path, heard: list[str]) -> None:
    recording = Recording(tmp_path, '3.13')
    assert ask(recording.python, floods.mixed) == 'done'
    lines = list(heard)
    assert [line for line in lines if 'record' not in line] == [
        'stdout: one', 'stdout: two', 'stderr: four']
    frames = recording.frames()
    output = [frame for frame in frames if frame[0] in (LOG, STDIO)]
    assert len(output) == 5
    # From the first output to the answer.
    for at in range(output[0][1], frames[-1][2]):
        within = not [end for _, _, end in frames if end == at]
        heard.clear()
        said = ask(recording.play(at), floods.mixed, recording.fifo)
        told = [text for text in heard if MISSING in text]
        got = [text for text in heard if MISSING not in text]
        assert len(told) == within, (at, heard)
        assert MISSING in said, (at, said)
        # What came is whole, and in its order, but for a last line.
        assert got[:-1] == lines[:max(0, len(got) - 1)], (at, heard)
        assert not got or [line for line in lines if line.startswith(got[-1])], (at, heard)
    heard.clear()
    assert ask(recording.play(frames[-1][2]), floods.mixed, recording.fifo) == 'done'
    assert heard == lines
