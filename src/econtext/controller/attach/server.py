"""
Other programs of the same user, attached to a broker by a Unix socket.

They speak frames, as contexts do, but stand above the contexts: a CALL of theirs
goes on to its context under a number of ours, and the answer back under theirs.
What they send is taken in order, by one thread that does not lead.

Invariants:

* Only processes of the same user get in: the kernel says who they are.
* What a program sends is decoded as hostile; what makes no sense ends its link, and
  nothing else.
* A module of theirs never takes the place of another one that is known by its name.
* Who cannot be let in, for want of descriptors say, costs nobody else anything: the
  socket is left alone for a while.
* When a program is gone, its calls that have not begun are withdrawn; the answers to
  the others are dropped.
* The socket is removed with the broker.  One that nobody listens at is replaced.

Entered by the thread that leads, but for ``work``, a chore, and ``listen``.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import logging
import os
import socket
import stat
import struct
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, cast

from econtext.child.kinds import INTERRUPT, WITHDRAW
from econtext.controller.errors import EcontextError
from econtext.controller.modules import manifest
from econtext.controller.runtime.log import say
from econtext.controller.session.cancellation import send_interrupt
from econtext.controller.text import harmless
from econtext.core.codec import encode
from econtext.core.loop import Link, harden
from econtext.core.wire import ANSWERS, CALL, DEAD, ERROR, HELLO, MODULE, RESULT, WANT, BadFrame
from econtext.parent.values import decode

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Owner, Peer

__all__ = ['AttachServer', 'folder', 'peer']

log: logging.Logger = logging.getLogger('econtext')

VERSION = 1     # of what is said on the socket
LARGEST = 1 << 30
MOST = 64       # programs at a time
AGAIN = 1.0     # seconds until somebody is let in again, where that could not be done
GONE = errno.EAGAIN, errno.EINTR, errno.ECONNABORTED    # who wanted in is there no more


def brought(body: bytes) -> list[tuple[str, Any]]:
    """Return the modules that a program brings; raise BadFrame for what is none."""
    try:
        found = decode(zlib.decompress(body))
        return [(str(name), whole_unit(unit)) for name, unit in found]
    except (zlib.error, TypeError, ValueError) as error:
        raise BadFrame(f'modules of another form: {error}') from None


def whole_unit(unit: Any) -> tuple[Any, ...]:
    if not isinstance(unit, (list, tuple)) or len(unit) < 3:
        raise BadFrame('a module of another form')
    return tuple(unit)


class Forwarded:
    """A call of an attached program, on its way through us."""
    context: Peer
    program: AttachedProgram
    theirs: int

    _hears_begun = True

    def __init__(self, program: AttachedProgram, context: Peer, theirs: int) -> None:
        self.program, self.context, self.theirs = program, context, theirs
        self.ours = 0
        self.over: bool = False

    def _set_answer(self, kind: int, body: bytes) -> None:
        """The answer is here. Leading."""
        context = self.context
        if kind in ANSWERS:
            self.over = True
            self.program.calls.pop(self.theirs, None)
            if context.talked:
                context.end_of_call()
        if kind == DEAD:
            body = encode(str(context.reason()) if context.error else '')
        self.program.link.send(kind, 0, context.id, self.theirs, body)


class AttachedProgram:
    """An attached program: the router and the owner of its link."""
    attach_server: AttachServer
    broker: Owner

    def __init__(self, broker: Owner, attach_server: AttachServer) -> None:
        self.broker, self.attach_server = broker, attach_server
        self.calls: dict[int, Forwarded] = {}
        self.contexts: set[int] = set()
        # What it was asked for, by our numbers.
        self.wanted: dict[int, tuple[int, int, str]] = {}
        self.inbox: collections.deque[tuple[int, int, int, bytes]] = collections.deque()
        self.working: threading.Lock = threading.Lock()
        self.link: Link = Link(broker.loop, self, self)

    def greet(self, connection: socket.socket) -> None:
        """Open the link, and say HELLO: from then on the program may do anything, leaving included."""
        out = os.dup(connection.fileno())
        self.link.open(connection.detach(), out)
        self.link.send(HELLO, 0, 0, 0, encode((VERSION, os.getpid())))

    def accepts(self, link: Any, kind: int, dst: int, src: int, handle: int, size: int) -> bool:
        return kind in (CALL, MODULE, INTERRUPT, RESULT) and size <= LARGEST

    def route(self, link: Any, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        self.inbox.append((kind, dst, handle, body))
        self.broker.loop.call_soon(self.work)

    def work(self) -> None:
        """Take what has come, in order."""
        with self.working:
            while self.inbox:
                kind, dst, handle, body = self.inbox.popleft()
                try:
                    self.take(kind, dst, handle, body)
                except BadFrame as error:
                    self.inbox.clear()
                    self.attach_server.log(f'an attached program sent what makes no sense ({error}), and was let go')
                    self.leave()
                except Exception as error:
                    found = self.broker.loop.fail('a frame of an attached program could not be taken in', error)
                    if kind in (CALL, MODULE) and handle not in self.calls:
                        self.link.send(DEAD, 0, dst, handle, encode(str(found)))

    def take(self, kind: int, dst: int, handle: int, body: bytes) -> None:
        context = self.broker.contexts.get(dst)
        if kind == RESULT:
            self.supplied(handle, body)
        elif kind == CALL and not dst:
            self.link.send(RESULT, 0, 0, handle, encode(self.attach_server.directory()))
        elif context is None or context.error is not None:
            if kind != INTERRUPT:
                reason = str(context.reason()) if context else 'there is no such context any more'
                self.link.send(DEAD, 0, dst, handle, encode(reason))
        elif kind == CALL:
            self.call(context, handle, body)
        elif kind == MODULE:
            self.bring(context, handle, body)
        elif handle in self.calls:
            self.give_up(self.calls[handle], body)

    def call(self, context: Peer, handle: int, body: bytes) -> None:
        self.contexts.add(context.id)
        forwarded = self.calls[handle] = Forwarded(self, context, handle)
        forwarded.ours = self.broker.router.ask(CALL, context.id, bytes(body), forwarded._set_answer)
        if forwarded.over:
            self.calls.pop(handle, None)
        context.launch_deferred()

    def bring(self, context: Peer, handle: int, body: bytes) -> None:
        """Hand on modules of the program, unless one is known by such a name."""
        units = brought(body)
        for name, unit in units:
            if self.attach_server.conflicts(context, name, unit):
                self.link.send(ERROR, 0, context.id, handle, encode(
                    f'{context.name} has another module {name} than this program: give it another name'))
                return
        context.keep(units)
        self.link.send(RESULT, 0, context.id, handle, encode(None))

    def give_up(self, forwarded: Forwarded, body: bytes) -> None:
        context = forwarded.context
        if body:
            context.push(*manifest.FOR_INTERRUPTIONS)
            self.broker.router.send(INTERRUPT, context.id, forwarded.ours, bytes(body))
        else:
            send_interrupt(context, forwarded.ours)

    def want(self, context: Peer, handle: int, name: str) -> None:
        """Ask the program for a module that `context` lacks and we do not have."""
        number = self.attach_server.number()
        self.wanted[number] = context.id, handle, name
        self.link.send(WANT, 0, context.id, number, encode(name))

    def supplied(self, number: int, body: bytes) -> None:
        try:
            number, handle, name = self.wanted.pop(number)
        except KeyError:
            raise BadFrame('a module that it was not asked for') from None
        unit = decode(body)
        if unit is not None:
            unit = whole_unit(unit)
        context = self.broker.contexts.get(number)
        if context is not None:
            if unit is not None:
                self.attach_server.conflicts(context, name, unit)
                context.sent.add(name)
            context.deliver([(name, unit)], handle)

    def leave(self) -> None:
        """Say good-bye."""
        with self.link.lock:
            self.link.close()
        self.link.hang_up()
        self.lost(self.link, '')

    def lost(self, link: Any, reason: str) -> None:
        """The program is gone."""
        if self in self.attach_server.programs:
            self.attach_server.programs.remove(self)
            self.broker.loop.call_soon(self.withdraw)

    def withdraw(self) -> None:
        for forwarded in list(self.calls.values()):
            if not forwarded.over and not forwarded.context.error:
                self.give_up(forwarded, WITHDRAW)
        for number, handle, name in list(self.wanted.values()):
            context = self.broker.contexts.get(number)
            if context is not None:
                context.deliver([(name, None)], handle)


class AttachServer:
    """The socket of a broker, and who came in by it."""
    broker: Owner
    path: str

    def __init__(self, broker: Owner, path: str) -> None:
        self.broker, self.path = broker, path
        self.programs: list[AttachedProgram] = []
        self.closed: bool = False
        self.last: int = 0
        # (context, name) -> a module that an attached program has brought there.
        self.brought: dict[tuple[int, str], Any] = {}
        self.socket: socket.socket = listen(path)
        self.inode: int = os.lstat(path).st_ino
        harden(self.socket.fileno())
        broker.loop.watch(self.socket.fileno(), cast('Any', self))

    def ready(self, fd: int) -> None:
        """Let somebody in. Leading."""
        try:
            connection, _ = self.socket.accept()
        except OSError as error:
            if error.errno not in GONE:
                self.pause(error)
            return
        try:
            if peer(connection) != os.geteuid() or len(self.programs) >= MOST:
                self.log('a program of another user, or one too many, wanted to attach')
                return
            self.admit(connection)
        except OSError as error:
            self.pause(error)
        finally:
            # A program has taken the descriptor out of it.
            connection.close()

    def admit(self, connection: socket.socket) -> None:
        """Greet a program; whoever closes meanwhile finds it among the programs, or is found to have closed."""
        program = AttachedProgram(self.broker, self)
        self.programs.append(program)
        try:
            program.greet(connection)
        except BaseException:
            program.leave()
            raise
        if self.closed:
            program.leave()

    def pause(self, error: OSError) -> None:
        """Let nobody in for a while: what is lacking, descriptors mostly, would be lacking at once again. Leading."""
        loop = self.broker.loop
        loop.forget(self.socket.fileno())
        self.log(
            f'no program can attach now ({error.strerror}): it is tried again in {AGAIN:g} s; '
            'raise the limit of open files (ulimit -n), or close what is not needed')
        loop.call_at(time.monotonic() + AGAIN, self.resume)

    def resume(self) -> None:
        """Listen again. Leading."""
        if self.socket.fileno() >= 0 and not self.broker.closed:
            self.broker.loop.watch(self.socket.fileno(), cast('Any', self))

    def number(self) -> int:
        self.last += 1
        return self.last

    def log(self, text: str) -> None:
        self.broker.loop.call_in_order(lambda: say(log, logging.WARNING, '%s', harmless(text)))

    def directory(self) -> list[Any]:
        """Return what there is to be told of all contexts."""
        return [
            (context.id, context.name, context.via.id if context.via else 0, context.ready,
             tuple(context.python_version), context.executable, context.pid)
            for context in list(self.broker.contexts.values()) if context.error is None]

    def conflicts(self, context: Peer, name: str, unit: Any) -> bool:
        """Is something else known to `context` by `name`? If not, this is from now on."""
        ours = self.broker.modules.unit(name)
        known = self.brought.setdefault((context.id, name), ours or unit)
        return (known[0], known[2]) != (unit[0], unit[2]) or (ours is not None and ours[2] != unit[2])

    def supply(self, context: Peer, handle: int, name: str) -> bool:
        """Have a program that calls into `context` answer for module `name`, if there is one."""
        for program in list(self.programs):
            if context.id in program.contexts:
                program.want(context, handle, name)
                return True
        return False

    def close(self) -> None:
        """Let nobody in any more, and let go of who is in."""
        self.closed = True
        if self.socket.fileno() >= 0:
            self.broker.loop.forget(self.socket.fileno())
            self.socket.close()
            with contextlib.suppress(OSError):
                if os.lstat(self.path).st_ino == self.inode:
                    os.unlink(self.path)
        for program in list(self.programs):
            program.leave()


def folder() -> str:
    """Return the folder of this user's sockets, which nobody else can enter; make it."""
    import tempfile  # not by every program: it takes long to import

    runtime = os.environ.get('XDG_RUNTIME_DIR')
    path = os.path.join(runtime, 'econtext') if runtime else os.path.join(
        tempfile.gettempdir(), f'econtext-{os.geteuid()}')
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EcontextError(f'{path} is not a folder of this user alone: remove it, or give a path of your own')
    return path


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


def peer(connection: socket.socket) -> int:
    """Return the user at the other end; -1 where the kernel does not say."""
    if not hasattr(socket, 'SO_PEERCRED'):
        return -1
    size = struct.calcsize('3i')
    return int(struct.unpack('3i', connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1])
