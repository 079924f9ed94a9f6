"""
What a command and the session server say to each other, and where they meet.

The server greets who connects with READY.  Then a command sends one request, of fields without NUL::

    LENGTH newline FIELD NUL FIELD ...

Along with the first byte of that it sends its descriptors 0, 1 and 2, and behind it one byte for each signal, which is
the number.  The answer is ENDED and the status as `os.waitpid` tells it; or DECLINED, if the command is to run in its
own process after all: it has read and printed nothing then.  EXHAUSTED is the same, for want of descriptors or
processes.

Invariants:

* Each server has its own name, which says which Python and which econtext it is: no command meets another one.
* A server that does not answer has nothing of the command, which runs elsewhere then: no command runs twice, and who
  waits for the end of its output waits for the command alone.
* The folder of the sockets belongs to this user, and no other user can enter it.
* Imports nothing that takes a moment: each command pays for it.

Pure, but for ``private_folder`` and ``peer``; any thread may enter.
"""

import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Mapping

RUN, STATUS, STOP = b'run', b'status', b'stop'
READY, DECLINED, EXHAUSTED, ENDED = b'r', b'd', b'x', b'e'
# A server of another form of this conversation has another name.
FORM = '2'
# The largest prime below 1 << 32.
PRIME = 4294967291
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
        self, kind: bytes, key: bytes, cwd: bytes = b'', umask: int = 0, ignored: 'Iterable[int]' = (),
        path: 'Iterable[bytes]' = (), words: 'Iterable[bytes]' = (), environment: 'Iterable[bytes]' = (),
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


def size(data: bytes) -> int | None:
    """Return how many bytes the request has that begins `data`; None while that is missing. Raise BadRequest."""
    end = data.find(b'\n')
    head = data if end < 0 else data[:end]
    if len(head) > DIGITS or not (head.isdigit() or not data) or int(head or b'0') > LARGEST:
        raise BadRequest('a request of another form')
    return None if end < 0 else end + 1 + int(head)


def decoded(data: bytes) -> Request | None:
    """Return the request that `data` is; None while some of it is missing. Raise BadRequest."""
    wanted = size(data)
    if wanted is None or len(data) < wanted:
        return None
    if len(data) > wanted:
        raise BadRequest('a request of another form')
    fields = data[data.index(b'\n') + 1:].split(b'\0')
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
    parts = [FORM, sys.executable, sys.version, str(sys.flags), __file__, *steering]
    return '\1'.join(parts).encode('utf-8', 'surrogateescape')


def socket_name(key: bytes) -> str:
    """Return the name of the socket of the server with that key."""
    # What computes a checksum would have to be loaded.
    return f'serve-{int.from_bytes(key, "big") % PRIME:08x}'


def folder(environment: 'Mapping[str, str]', user: int) -> str:
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


def peer(connection: '_socket.socket') -> int | None:
    """Return the user at the other end; None where the kernel does not say so in the way of Linux."""
    return credential(connection, 1)


def peer_process(connection: '_socket.socket') -> int | None:
    """Return the number of the process at the other end, which may be stopped; None as for ``peer``."""
    return credential(connection, 0)


def credential(connection: '_socket.socket', which: int) -> int | None:
    import _socket
    option = getattr(_socket, 'SO_PEERCRED', None)
    if option is None:
        return None
    # The numbers of the process, the user and the group.
    found = connection.getsockopt(_socket.SOL_SOCKET, option, 12)
    return int.from_bytes(found[4 * which:4 * which + 4], sys.byteorder)
