"""
The sockets of brokers: where they are, who may come in, and who is at the other end.

Invariants:

* Only processes of the same user get in: the kernel says whose a process is, or where it does not say, the folder of
  the socket is one that nobody else can enter.
* A socket that nobody listens at is replaced; what is no socket never is.
* Whoever listens and lets nobody in, such as a program that was stopped, holds up nobody for longer than PATIENCE.

Any thread may enter.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys

from econtext.controller.errors import EcontextError

VERSION = 3     # of what is said on the socket
PATIENCE = 10.0     # seconds that a program has to let another one in
# Where the systems of BSD and Apple say whose a process is: in a `struct xucred`, a version, a user, and groups.
LOCAL_PEERCRED, XUCRED = 1, '2Ih16I'


def folder() -> str:
    """Return the folder of this user's sockets, which nobody else can enter; make it."""
    runtime = os.environ.get('XDG_RUNTIME_DIR')
    path = os.path.join(runtime, 'econtext') if runtime else os.path.join(
        temporary(), f'econtext-{os.geteuid()}')
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        # A variable that another login has left, say.
        raise EcontextError(
            f'{path} cannot be made: {error.strerror}: correct XDG_RUNTIME_DIR, or give a path of your own') from None
    if not is_private(path):
        raise EcontextError(f'{path} is not a folder of this user alone: remove it, or give a path of your own')
    return path


def temporary() -> str:
    """Return the folder for temporary files, as tempfile finds it, which takes long to import."""
    names = [os.environ.get(name) for name in ('TMPDIR', 'TEMP', 'TMP')]
    for name in [*names, '/tmp', '/var/tmp', '/usr/tmp']:  # noqa: S108 -- only a private folder in it is used
        if name and os.path.isdir(name) and os.access(name, os.W_OK | os.X_OK):
            return os.path.abspath(name)
    return os.getcwd()


def is_private(path: str) -> bool:
    """Is `path` a folder that no other user but root can enter?"""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def listen(path: str) -> socket.socket:
    """Return a socket that listens at `path`, in the place of one where nobody does."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(OSError):
            # Where the system takes the mode of what is bound from this, the name is not looked up once more below:
            # others who may write to the folder could have put a link in its place.
            os.fchmod(made.fileno(), 0o600)
        try:
            made.bind(path)
        except OSError:
            if not abandoned(path):
                raise
            os.unlink(path)
            made.bind(path)
        if os.lstat(path).st_mode & 0o177:
            os.chmod(path, 0o600)
        made.listen(16)
    except OSError as error:
        made.close()
        raise EcontextError(f'{path}: no socket can be made there ({error.strerror}): give another path') from None
    return made


def abandoned(path: str) -> bool:
    """Is `path` a socket at which nobody listens?"""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # One whose queue is full is there, and need not be waited for.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def connect(path: str) -> socket.socket:
    """Return a connection to a broker of the same user."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The system's own: a socket with a timeout of Python's does not wait where the queue is full.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', *divmod(round(PATIENCE * 1e6), 10**6)))
        made.connect(path)
        if not is_same_user(made, path):
            raise EcontextError(f'{path}: another user listens there')
    except (BlockingIOError, TimeoutError):
        made.close()
        raise EcontextError(
            f'{path}: the program that listens there lets nobody in for {PATIENCE:g} s: see whether it was stopped, or '
            'is too busy') from None
    except OSError as error:
        made.close()
        raise EcontextError(f'{path}: nobody listens there ({error.strerror}): call listen() of a broker') from None
    except BaseException:
        made.close()
        raise
    return made


def is_same_user(connection: socket.socket, path: str) -> bool:
    """Is the process at the other end of `connection`, by the socket `path`, one of this user?"""
    user = peer(connection)
    if user is None:
        return is_private(os.path.dirname(os.path.abspath(path)))
    return user == os.geteuid()


def peer(connection: socket.socket) -> int | None:
    """Return the user at the other end; None where the kernel does not say."""
    if hasattr(socket, 'SO_PEERCRED'):
        size = struct.calcsize('3i')
        return int(struct.unpack('3i', connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1])
    if sys.platform == 'darwin' or 'bsd' in sys.platform:
        try:
            found = connection.getsockopt(0, LOCAL_PEERCRED, struct.calcsize(XUCRED))
            return int(struct.unpack_from('2I', found)[1])
        except (OSError, struct.error):
            return None
    return None
