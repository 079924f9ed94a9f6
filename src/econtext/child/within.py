"""
A transfer of files from one place of a context to another place there, in one call.

A context may carry out one call after the other, so its sender and its receiver cannot be two.

Invariants:

* Both ends stop as soon as one of them does, or nobody waits for the call any more.
* Few messages are between them, however large the files are.

Fetched with the first such transfer.  The receiver runs in the thread of the call, the sender in one of its own.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import threading
import time

from econtext.child import transfer
from econtext.child.folders import located
from econtext.child.receiving import Receiver
from econtext.child.sending import Sender
from econtext.core.wire import EMPTY

WAITING = 32    # messages between the ends
EVERY = 0.1     # seconds


class Pipe(object):
    """Messages from one end of a transfer to the other in the same program."""

    def __init__(self):
        # type: () -> None
        self.messages = []  # type: list[bytes]
        self.changed = threading.Condition()  # type: threading.Condition
        self.closed = False  # type: bool
        # Its name until Python 2.6 is another.
        self.wake = getattr(self.changed, 'notify_all', None) or self.changed.notifyAll     # type: Any

    def put(self, data):
        # type: (bytes) -> None
        self.changed.acquire()
        try:
            while len(self.messages) >= WAITING and not self.closed:
                self.changed.wait()
            if self.closed:
                raise transfer.Broken
            self.messages.append(data)
            self.wake()
        finally:
            self.changed.release()

    def take(self):
        # type: () -> bytes
        self.changed.acquire()
        try:
            while not self.messages:
                if self.closed:
                    raise transfer.Broken
                self.changed.wait()
            self.wake()
            return self.messages.pop(0)
        finally:
            self.changed.release()

    def close(self):
        # type: () -> None
        self.changed.acquire()
        try:
            self.closed = True
            self.wake()
        finally:
            self.changed.release()


class Ends(object):
    """Two pipes, as one end of a transfer uses them."""

    def __init__(self, out, back):
        # type: (Pipe, Pipe) -> None
        self.send = out.put  # type: Callable[[bytes], None]
        self.get = back.take  # type: Callable[[], bytes]


class Told(transfer.Watch):
    """Tells through a channel how far a transfer is: path, bytes, files, bytes that are to go, whether that is all."""

    def __init__(self, channel):
        # type: (Any) -> None
        self.channel = channel
        self.far = transfer.Far(channel)     # type: Any
        self.path = EMPTY  # type: bytes
        self.bytes = 0  # type: int
        self.files = 0  # type: int
        self.total = 0  # type: int
        self.complete = False  # type: bool
        self.when = time.time()  # type: float

    def wanted(self, size):
        # type: (int) -> None
        self.total += size

    def listed(self):
        # type: () -> None
        self.complete = True

    def began(self, path):
        # type: (bytes) -> None
        self.path = path
        self.files += 1

    def moved(self, size):
        # type: (int) -> None
        self.bytes += size
        if abs(time.time() - self.when) >= EVERY:
            self.when = time.time()
            self.far.send((self.path, self.bytes, self.files, self.total, self.complete))


def copy_within(channel, source, target, for_sender, for_receiver):
    # type: (Any, bytes, bytes, dict[str, Any], dict[str, Any]) -> tuple[Any, Any]
    """Copy from one place here to another; return how that went for the sender and the receiver, in values."""
    for_sender = dict([(str(key), for_sender[key]) for key in for_sender])
    for_receiver = dict([(str(key), for_receiver[key]) for key in for_receiver])
    there, back = Pipe(), Pipe()
    answers = []    # type: list[Any]

    def send():
        # type: () -> None
        try:
            answers.append(transfer.attempt(lambda: Sender(Ends(there, back), located(source), for_sender).run()))
        finally:
            there.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        done = transfer.attempt(
            lambda: Receiver(Ends(back, there), located(target), for_receiver, Told(channel)).run())
    finally:
        there.close()
        back.close()
        thread.join()
    if not answers:
        answers.append(('broken',))
    return answers[0], done
