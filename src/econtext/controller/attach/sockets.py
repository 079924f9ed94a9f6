"""
The sockets of brokers: where they are, who may come in, and who is at the other end.

Invariants:

* Only processes of the same user get in: the kernel says whose a process is, or where it does not say, the folder of
  the socket is one that nobody else can enter.
* A socket that nobody listens at is replaced; what is no socket never is.

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
# Where the systems of BSD and Apple say whose a process is: in a `struct xucred`, a version, a user, and groups.
LOCAL_PEERCRED, XUCRED = 1, '2Ih16I'


def folder() -> str:
    """Return the folder of this user's sockets, which nobody else can enter; make it."""
    runtime = os.environ.get('XDG_RUNTIME_DIR')
    path = os.path.join(runtime, 'econtext') if runtime else os.path.join(
        temporary(), f'econtext-{os.geteuid()}')
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
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
        try:
            made.bind(path)
        except OSError:
            if not abandoned(path):
                raise
            os.unlink(path)
            made.bind(path)
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
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


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
