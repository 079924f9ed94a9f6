"""
The end of the helper that pyinfra's process has: starts it, asks it, hears it.

Waiting is gevent's, whether or not the standard library is patched: other hosts go on meanwhile.

Invariants:

* The helper runs while a host is connected, and not longer.
* A request ends with its answer, or with Lost when the helper ends; one that is abandoned (its greenlet was killed)
  takes its answers with it.

Entered by greenlets of one thread.
"""

from __future__ import annotations

import os
import socket as plain_socket
import sys
import weakref
from collections.abc import Callable, Generator
from typing import Any

from econtext.pyinfra import bases, frames

PATIENCE = 10.0     # seconds that the helper has to end by itself
# Not by -m, for which Python would look into the current directory; and econtext is to be this one.
PROGRAM: str = (
    'import sys; sys.path[:] = [each for each in sys.path if each]; sys.path.append(sys.argv[2]); '
    'from econtext.pyinfra import helper; helper.main()')
ROOT: str = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Failed(Exception):
    """The helper could not do what it was asked for: a kind of failure, and what belongs to that."""

    @property
    def kind(self) -> str:
        return str(self.args[0])


class Client:
    """The helper of one deployment."""

    def __init__(self) -> None:
        ours, theirs = plain_socket.socketpair()
        try:
            self.process: Any = bases.subprocess.Popen(
                [sys.executable, '-c', PROGRAM, str(theirs.fileno()), ROOT], pass_fds=[theirs.fileno()],
                stdin=bases.subprocess.DEVNULL, stdout=2, start_new_session=True)
        finally:
            theirs.close()
        # One of gevent's, also where the standard library is not patched.
        self.socket: Any = bases.sockets.socket(fileno=ours.detach())
        self.requests: dict[int, Any] = {}
        self.numbers: int = 0
        self.hosts: set[str] = set()
        self.dead: bool = False
        self.reader: Any = bases.gevent.spawn(self.read)

    def read(self) -> None:
        """Hand out the answers until the helper has ended."""
        unpacker = frames.Unpacker()
        try:
            while data := self.socket.recv(1 << 20):
                for number, word, *values in unpacker.feed(data):
                    queue = self.requests.get(number)
                    if queue is not None:
                        queue.put((word, values))
        except OSError:
            pass
        self.dead = True
        for queue in self.requests.values():
            queue.put((frames.FAILED, [frames.LOST, 'the helper process of econtext has ended']))

    def ask(
        self, kind: str, *values: Any, answer: Callable[[str], str] | None = None,
    ) -> Generator[Any, None, list[Any]]:
        """Yield what comes of a request before its last answer; return that. Raises Failed."""
        if self.dead:
            raise Failed(frames.LOST, 'the helper process of econtext has ended')
        self.numbers += 1
        number = self.numbers
        queue = self.requests[number] = bases.queues.Queue()
        try:
            self.send(number, kind, *values)
            while True:
                word, found = queue.get()
                if word == frames.DONE:
                    return list(found)
                if word == frames.FAILED:
                    raise Failed(*found)
                if word == frames.ASK:
                    assert answer is not None, 'asked for by a request that can be answered'
                    self.send(number, frames.ANSWER, answer(found[0]))
                else:
                    yield found[0]
        finally:
            del self.requests[number]

    def do(self, kind: str, *values: Any, answer: Callable[[str], str] | None = None) -> list[Any]:
        """Return the last answer to a request."""
        asking = self.ask(kind, *values, answer=answer)
        while True:
            try:
                next(asking)
            except StopIteration as end:
                found: list[Any] = end.value
                return found

    def send(self, *message: Any) -> None:
        try:
            self.socket.sendall(frames.packed(*message))
        except OSError:
            raise Failed(frames.LOST, 'the helper process of econtext has ended') from None

    def close(self) -> None:
        """End the helper, and with it all contexts."""
        self.dead = True
        try:
            self.socket.shutdown(plain_socket.SHUT_WR)
        except OSError:
            pass
        try:
            self.process.wait(PATIENCE)
        except bases.subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        self.socket.close()


# By the state of pyinfra, which is one deployment.
CLIENTS: weakref.WeakKeyDictionary[Any, Client] = weakref.WeakKeyDictionary()


def client_of(state: Any, host: str) -> Client:
    """Return the helper of a deployment, for `host`; start it if there is none."""
    client = CLIENTS.get(state)
    if client is None or client.dead:
        client = CLIENTS[state] = Client()
    client.hosts.add(host)
    return client


def leave(state: Any, client: Client, host: str) -> None:
    """`host` is not connected any more: the last one ends the helper."""
    client.hosts.discard(host)
    if not client.hosts:
        if CLIENTS.get(state) is client:
            del CLIENTS[state]
        client.close()
