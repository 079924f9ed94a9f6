"""A session hands nothing on before its program has the streams, and ends if no program comes."""

from __future__ import annotations

import os
import queue
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest

from econtext.child import sessions
from lab import eventually

SOON = 20.0     # seconds until a session that does not end is given up
END = object()


class Channel:
    """One end of a channel, whose other end the test is."""

    def __init__(self) -> None:
        self.home = types.SimpleNamespace(supervisor=types.SimpleNamespace(ended=False))
        self.messages: queue.Queue[Any] = queue.Queue()
        self.sent: list[Any] = []
        self.closed = False

    def open(self) -> bool:
        return not self.closed

    def send(self, value: Any) -> None:
        self.sent.append(value)

    def close(self) -> None:
        self.closed = True
        self.messages.put(END)

    def __iter__(self) -> Iterator[Any]:
        while (message := self.messages.get(timeout=SOON)) is not END:
            yield message
        # The end stays the end.
        self.messages.put(END)


class Scene:
    def __init__(self) -> None:
        self.data, self.control = Channel(), Channel()
        self.session = sessions.Session(self.data, self.control, None)
        #: What the program would read and write.
        self.input, self.output = os.dup(self.session.theirs[0]), os.dup(self.session.theirs[1])
        self.answer: Any = None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        try:
            self.answer = self.session.of_context()
        finally:
            self.session.close()

    def ended(self) -> Any:
        self.thread.join(SOON)
        assert not self.thread.is_alive(), 'nobody ends it'
        return self.answer


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.control.close()
    made.data.close()
    made.ended()
    os.close(made.input)
    os.close(made.output)


def test_what_passes_before_the_program_has_its_streams_waits(scene: Scene) -> None:
    scene.data.messages.put(b'hello')
    scene.control.messages.put((sessions.SIGNAL, 'SIGKILL'))
    scene.control.messages.put((sessions.OPENED, os.getpid()))
    assert os.read(scene.input, 100) == b'hello'
    os.write(scene.output, b'there')
    eventually(lambda: scene.data.sent == [sessions.OUT + b'there'])
    assert scene.thread.is_alive(), 'it follows the program'
    scene.control.close()
    assert scene.ended() == ('done', 0)


def test_a_program_that_never_comes_ends_the_session(scene: Scene) -> None:
    scene.control.close()
    assert scene.ended() == ('done', 0)
    assert scene.session.pid == 0
