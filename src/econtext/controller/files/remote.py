"""
Open files of contexts: file objects of the protocol of ``io``.

The strategy: a raw file keeps its place here and says with each read or write where that is.  So blocks
can be asked for before they are wanted, and written before the last one is known to be written.  What
``io`` has on top of a raw file (buffers, text) is on top of this one.

Invariants:

* What is read is what was in the file when it was read there, no sooner than the read before it;
  a write drops what was read ahead.
* An error of a write that was not waited for is raised by the next write, flush() or close().
* A file that nobody closed is closed by a thread of its own: whoever collects garbage waits for nothing.

Any thread may enter, one at a time.
"""

from __future__ import annotations

import collections
import io
import os
import threading
import warnings
from typing import Any

from econtext.child import files
from econtext.child.labels import seen
from econtext.child.transfer import as_bytes
from econtext.controller.files.answers import nonsense, taken
from econtext.controller.files.copying import remote_name
from econtext.controller.session.contract import Answer, Home

BLOCK = 1 << 18     # bytes of a read or a write
AHEAD = 4           # blocks that are under way


class RemoteFile(io.RawIOBase):
    """A file in a context, without a buffer."""
    appends: bool
    at: int
    can_seek: bool
    due: int
    reads: bool
    writes: bool

    number: Any = 0
    abandoned: list[tuple[Any, ...]] | None = None

    def __init__(self, home: Home, path: Any, mode: str) -> None:
        self.home = home
        self.mode: str = mode.replace('t', '')
        self.name = path
        kinds = [letter for letter in mode if letter in 'rwax']
        if len(kinds) != 1 or len(set(mode)) != len(mode) or set(mode) - set('rwax+bt') or {'b', 't'} <= set(mode):
            raise ValueError(f'mode= must be one of r, w, a and x, perhaps with + and b or t, not {seen(mode)}')
        kind, both = kinds[0], '+' in mode
        self.reads, self.writes, self.appends = kind == 'r' or both, kind != 'r' or both, kind == 'a'
        flags = {
            'read': self.reads, 'write': self.writes, 'create': kind != 'r', 'truncate': kind == 'w',
            'new': kind == 'x', 'append': self.appends,
        }
        self.number = 0
        self.at = self.due = 0
        self.ahead: collections.deque[tuple[int, Answer]] = collections.deque()
        self.rest: bytes = b''
        self.written: collections.deque[Answer] = collections.deque()
        raw = remote_name(home, path)[0]
        number = int.from_bytes(os.urandom(7), 'big')
        try:
            answer = self.do('open', raw, flags, 0o666, number)
        except OSError:
            raise
        except BaseException:
            # It may be open there, or about to be.
            later(home, [('close', number)])
            raise
        if type(answer) is not tuple or len(answer) != 3:
            raise nonsense(home, 'a file of no kind')
        size, self.can_seek = self.checked(answer[1]), bool(answer[2])
        self.number = number
        if self.appends:
            self.at = size

    def do(self, name: str, *args: Any) -> Any:
        return taken(self.home, self.home.call(files.do, name, *args))

    def checked(self, size: Any) -> int:
        if type(size) is not int or size < 0:
            raise nonsense(self.home, 'a size that is no number')
        return size

    def readable(self) -> bool:
        return self.reads

    def writable(self) -> bool:
        return self.writes

    def seekable(self) -> bool:
        return bool(self.can_seek)

    def isatty(self) -> bool:
        return False

    def check_open(self) -> None:
        if self.closed:
            raise ValueError('I/O operation on a closed file')

    # Reading.

    def readinto(self, buffer: Any) -> int:
        self.check_open()
        if not self.reads:
            raise io.UnsupportedOperation('the file is not open for reading')
        view = memoryview(buffer).cast('B')
        self.settle()
        data = self.block(len(view))
        size = min(len(data), len(view))
        view[:size] = data[:size]
        self.rest = data[size:]
        self.at += size
        self.due = self.at
        return size

    def block(self, size: int) -> bytes:
        """Return what stands at the place of the file; perhaps more or less than `size`."""
        if self.at == self.due and self.rest:
            return self.rest
        self.rest = b''
        if not self.can_seek:
            return self.bytes_of(self.home.call(files.do, 'read', self.number, -1, max(size, 1)))
        goes_on = self.at == self.due and self.at > 0
        if self.ahead and self.ahead[0][0] != self.at:
            self.ahead.clear()
        if not self.ahead and not goes_on:
            return self.bytes_of(self.home.call(files.do, 'read', self.number, self.at, max(size, 1)))
        at = self.ahead[-1][0] + BLOCK if self.ahead else self.at
        while len(self.ahead) < AHEAD:
            self.ahead.append((at, self.home.submit(files.do, 'read', self.number, at, BLOCK)))
            at += BLOCK
        data = self.bytes_of(self.ahead.popleft()[1].result())
        if len(data) < BLOCK:
            # The end, perhaps that of now.
            self.ahead.clear()
        return data

    def bytes_of(self, answer: Any) -> bytes:
        data = taken(self.home, answer)
        if not isinstance(data, (bytes, str)):
            raise nonsense(self.home, 'what was read is no bytes')
        return as_bytes(data)   # type: ignore[no-any-return]

    def readall(self) -> bytes:
        parts: list[bytes] = []
        while True:
            data = bytearray(BLOCK)
            size = self.readinto(data)
            if not size:
                return b''.join(parts)
            parts.append(bytes(data[:size]))

    # Writing.

    def write(self, buffer: Any) -> int:
        self.check_open()
        if not self.writes:
            raise io.UnsupportedOperation('the file is not open for writing')
        data = bytes(memoryview(buffer).cast('B'))
        self.drop()
        for start in range(0, len(data), BLOCK):
            piece = data[start:start + BLOCK]
            at = self.at if self.can_seek and not self.appends else -1
            if self.abandoned is not None:
                self.abandoned.append(('write', self.number, at, piece))
                continue
            while len(self.written) >= AHEAD:
                taken(self.home, self.written.popleft().result())
            self.written.append(self.home.submit(files.do, 'write', self.number, at, piece))
            self.at += len(piece)
        if self.appends and self.can_seek and self.abandoned is None:
            self.settle()
            self.at = self.checked(self.do('size', self.number))
        return len(data)

    def drop(self) -> None:
        """Forget what was read ahead."""
        self.ahead.clear()
        self.rest = b''
        self.due = -1

    def settle(self) -> None:
        """Wait for what was written; raise what went wrong."""
        while self.written:
            taken(self.home, self.written.popleft().result())

    def flush(self) -> None:
        super().flush()
        if self.abandoned is None:
            self.settle()

    # Places.

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.check_open()
        if not self.can_seek:
            raise io.UnsupportedOperation('there is no seeking in this file')
        if whence == 1:
            offset += self.at
        elif whence == 2:
            self.settle()
            offset += self.checked(self.do('size', self.number))
        elif whence:
            raise ValueError('whence must be 0, 1 or 2')
        if offset < 0:
            raise OSError(22, 'a place before the beginning')
        if offset != self.at:
            self.drop()
        self.at = offset
        return offset

    def tell(self) -> int:
        self.check_open()
        if not self.can_seek:
            raise io.UnsupportedOperation('there is no place in this file')
        return self.at

    def truncate(self, size: int | None = None, /) -> int:
        self.check_open()
        if not self.writes:
            raise io.UnsupportedOperation('the file is not open for writing')
        if size is None:
            size = self.at
        self.settle()
        self.drop()
        self.do('truncate', self.number, size)
        return size

    def fileno(self) -> int:
        raise io.UnsupportedOperation('a file of a context has no descriptor here')

    def sync(self) -> None:
        """Have what was written outlive a loss of power."""
        self.settle()
        self.do('sync', self.number)

    # The end.

    def close(self) -> None:
        if self.closed:
            return
        number, self.number = self.number, 0
        if self.abandoned is not None or not number:
            super().close()
            if number and self.abandoned is not None:
                todo = [*self.abandoned, ('close', number)]
                later(self.home, todo)
            return
        self.ahead.clear()
        try:
            super().close()
        finally:
            self.do('close', number)

    def _dealloc_warn(self, source: object) -> None:
        """``io`` says so before it closes what is garbage."""
        if self.number:
            self.abandoned = []
            warnings.warn(f'a file of {self.home.name} was not closed', ResourceWarning, 2, source=source)

    def __del__(self) -> None:
        if not self.closed and self.abandoned is None and self.number:
            self._dealloc_warn(self)
        super().__del__()


class Writer(io.BufferedWriter):
    """A buffer whose flush() waits until all is written there."""

    def flush(self) -> None:
        super().flush()
        self.raw.flush()


class Random(io.BufferedRandom):
    """The same, for reading too."""

    def flush(self) -> None:
        super().flush()
        self.raw.flush()


def later(home: Home, todo: list[tuple[Any, ...]]) -> None:
    """Have a thread write and close what nobody waits for."""
    threading.Thread(target=finish, args=(home, todo), name='econtext files', daemon=True).start()


def finish(home: Home, todo: list[tuple[Any, ...]]) -> None:
    """Write and close what nobody closed."""
    try:
        for args in todo:
            home.call(files.do, *args)
    except Exception:
        # The context is gone, and with it the file.
        pass


def open_file(
    home: Home, path: Any, mode: str, buffering: int, encoding: str | None, errors: str | None, newline: str | None,
) -> Any:
    """Open a file as the function of this name does here."""
    if not isinstance(mode, str):
        raise TypeError(f'mode= must be a text, not {seen(mode)}')
    binary = 'b' in mode
    if binary and (encoding is not None or errors is not None or newline is not None):
        raise ValueError('encoding=, errors= and newline= are for text, not for bytes')
    if not binary and buffering == 0:
        raise ValueError('text cannot be read and written without a buffer')
    if newline not in (None, '', '\n', '\r', '\r\n'):
        raise ValueError("newline= must be None, '', '\\n', '\\r' or '\\r\\n'")
    ''.encode(encoding or 'utf-8')
    raw = RemoteFile(home, path, mode)
    if buffering == 0:
        return raw
    size = buffering if buffering > 1 else BLOCK
    buffered: Any
    if raw.reads and raw.writes:
        buffered = Random(raw, size) if raw.can_seek else io.BufferedRWPair(raw, raw, size)
    elif raw.writes:
        buffered = Writer(raw, size)
    else:
        buffered = io.BufferedReader(raw, size)
    if binary:
        return buffered
    text = io.TextIOWrapper(buffered, encoding or 'utf-8', errors, newline, line_buffering=buffering == 1)
    text.mode = mode  # type: ignore[misc]
    return text


