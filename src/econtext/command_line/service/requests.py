"""
What a command and the session server say to each other, and where they meet.

A command sends one request, of fields without NUL::

    LENGTH newline FIELD NUL FIELD ...

The server answers ACCEPTED, or DECLINED.  Then the command sends GO, along with its descriptors 0, 1 and 2, and from
then on one byte for each signal, which is the number.  The server answers ENDED and the status as `os.waitpid` tells
it; or DECLINED, if the command is to run in its own process after all: it has read and printed nothing then.

Invariants:

* Each server has its own name, which says which Python and which econtext it is: no command meets another one.
* Before GO nothing begins, and the server has nothing of the command: who waits for the end of its output waits for
  the command alone.
* The folder of the sockets belongs to this user, and no other user can enter it.
* Imports nothing that takes a moment: each command pays for it.

Pure, but for ``private_folder`` and ``peer``; any thread may enter.
"""

from __future__ import annotations

import binascii
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Mapping

RUN, STATUS, STOP = b'run', b'status', b'stop'
ACCEPTED, DECLINED, ENDED = b'a', b'd', b'e'
GO = b'g'
LARGEST = 1 << 24       # bytes of a request
DIGITS = 10             # of its length, at most
STATUS_BYTES = 4
# What of the environment decides how Python itself behaves: a server has one such environment.
OF_PYTHON = 'PYTHON', 'LC_', 'LANG'


class BadRequest(ValueError):
    """What came is no request."""


class Request:
    """What a command asks of the server."""

    def __init__(
        self, kind: bytes, key: bytes, cwd: bytes = b'', umask: int = 0, ignored: Iterable[int] = (),
        path: Iterable[bytes] = (), words: Iterable[bytes] = (), environment: Iterable[bytes] = (),
    ) -> None:
        self.kind: bytes = kind
        self.key: bytes = key
        self.cwd: bytes = cwd
        self.umask: int = umask
        #: The signals that the command ignores.
        self.ignored: list[int] = list(ignored)
        #: Where it finds modules.
        self.path: list[bytes] = list(path)
        self.words: list[bytes] = list(words)
        #: ``NAME=VALUE``.
        self.environment: list[bytes] = list(environment)

    def encoded(self) -> bytes:
        """Return the bytes of the request."""
        fields = [self.kind, self.key, self.cwd, b'%d' % self.umask]
        for each in [b'%d' % number for number in self.ignored], self.path, self.words, self.environment:
            fields += [b'%d' % len(each), *each]
        body = b'\0'.join(fields)
        return b'%d\n' % len(body) + body


def decoded(data: bytes) -> Request | None:
    """Return the request that `data` is; None while some of it is missing. Raise BadRequest."""
    head, newline, body = data.partition(b'\n')
    if not newline:
        if len(head) > DIGITS or not (head.isdigit() or not head):
            raise BadRequest('a request of another form')
        return None
    if not head.isdigit() or len(head) > DIGITS or int(head) > LARGEST or len(body) > int(head):
        raise BadRequest('a request of another form')
    if len(body) < int(head):
        return None
    fields = body.split(b'\0')
    fields.reverse()
    try:
        kind, key, cwd, umask = (fields.pop() for _ in range(4))
        lists = [[fields.pop() for _ in range(int(fields.pop()))] for _ in range(4)]
        found = Request(kind, key, cwd, int(umask), [int(each) for each in lists[0]], *lists[1:])
    except (IndexError, ValueError):
        raise BadRequest('a request of another form') from None
    if fields:
        raise BadRequest('a request of another form')
    return found


def key() -> bytes:
    """Return what a server and its commands have in common: the Python, the package, and what steers Python."""
    steering = sorted(f'{name}={value}' for name, value in os.environ.items() if name.startswith(OF_PYTHON))
    parts = [sys.executable, sys.version, str(sys.flags), __file__, *steering]
    return '\1'.join(parts).encode('utf-8', 'surrogateescape')


def socket_name(key: bytes) -> str:
    """Return the name of the socket of the server with that key."""
    return f'serve-{binascii.crc32(key):08x}'


def folder(environment: Mapping[str, str], user: int) -> str:
    """Return the path of the folder of sockets, whether or not it is there."""
    runtime = environment.get('XDG_RUNTIME_DIR')
    if runtime:
        return f'{runtime}/econtext-serve'
    return f'{environment.get("TMPDIR") or "/tmp"}/econtext-serve-{user}'  # noqa: S108 -- only if it is private


def private_folder(path: str) -> bool:
    """Is `path` a folder of this user that no other user can enter?"""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def peer(connection: _socket.socket) -> int | None:
    """Return the user at the other end; None where the kernel does not say so in the way of Linux."""
    import _socket
    option = getattr(_socket, 'SO_PEERCRED', None)
    if option is None:
        return None
    # The numbers of the process, the user and the group.
    found = connection.getsockopt(_socket.SOL_SOCKET, option, 12)
    return int.from_bytes(found[4:8], sys.byteorder)
