"""
Other programs of the same user, attached to a broker by a Unix socket: who comes in, and whom contexts may ask.

Invariants:

* Only processes of the same user get in: see ``sockets``.
* A module of an attached program never takes the place of another one that a context knows by its name.
* A context that wants a module waits for no program that does not answer, if others wait for the context.
* Who cannot be let in, for want of descriptors say, costs nobody else anything: the socket is left alone for a while.
* The socket is removed with the broker.

Entered by the thread that leads, but for ``listen``, ``sharing`` and what programs ask.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from econtext.controller.attach import messages
from econtext.controller.attach.passed import PassedCall
from econtext.controller.attach.programs import AttachedProgram
from econtext.controller.attach.sharing import Sharing
from econtext.controller.attach.sockets import folder, is_same_user, listen
from econtext.controller.runtime.log import say
from econtext.controller.text import harmless
from econtext.core.loop import harden
from econtext.core.wire import RESULT, BadFrame
from econtext.parent.values import decode

if TYPE_CHECKING:
    from econtext.controller.node import Node, Owner
    from econtext.controller.runtime.timers import Timer

__all__ = ['AttachServer', 'AttachedProgram', 'folder']

log: logging.Logger = logging.getLogger('econtext')

MOST = 64       # programs at a time
ANSWER = 10.0   # seconds that a program has to answer for a module, where others wait for that
AGAIN = 1.0     # seconds until somebody is let in again, where that could not be done
GONE = errno.EAGAIN, errno.EINTR, errno.ECONNABORTED    # who wanted in is there no more


class AttachServer:
    """The socket of a broker, and who came in by it."""
    broker: Owner
    path: str

    def __init__(self, broker: Owner, path: str) -> None:
        self.broker, self.path = broker, path
        self.programs: list[AttachedProgram] = []
        self.closed: bool = False
        self.last: int = 0
        # Context -> name -> the digest of the module that is known there by that name.
        self.brought: dict[int, dict[str, int]] = {}
        # Held while it is looked up and changed.
        self.bringing: threading.Lock = threading.Lock()
        self.sharing: Sharing = Sharing(broker, self.is_busy)
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
            if not is_same_user(connection, self.path) or len(self.programs) >= MOST:
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

    def directory(self) -> list[Node]:
        """Return all contexts that there are."""
        return [context for context in list(self.broker.contexts.values()) if context.error is None]

    def gone(self, program: AttachedProgram) -> bool:
        """Note that `program` is gone; tell whether that was not known."""
        try:
            self.programs.remove(program)
        except ValueError:
            return False
        return True

    def is_busy(self, program: object, context: Node) -> bool:
        return isinstance(program, AttachedProgram) and program.is_busy(context)

    def changed(self, context: Node) -> None:
        """`context` became ready, answers no more, or is gone: tell the programs. Any thread."""
        for program in list(self.programs):
            program.tell(context)
        if context.error is not None:
            self.brought.pop(context.id, None)
            self.sharing.keys.pop(context.id, None)
        if context.error is not None and context.id in self.sharing.shared:
            self.broker.loop.call_soon(lambda: self.sharing.ended(context))

    # Modules.

    def conflict(self, context: Node, units: list[tuple[str, Any]]) -> str | None:
        """
        Return the name of the first of `units` by which `context` knows another module.

        If there is none, these are known from now on. In a context that was started for attached programs, the modules
        of the broker's own program have no say, but for those that were sent there.
        """
        with self.bringing:
            brought = self.brought.setdefault(context.id, {})
            known = {}
            for name, unit in units:
                ours = None
                if not self.serves(context) or (name in context.sent and name not in brought):
                    ours = self.broker.modules.unit(name)
                theirs = known[name] = messages.digest(unit)
                if (ours is not None and messages.digest(ours) != theirs) or brought.get(name, theirs) != theirs:
                    return name
            brought.update(known)
            return None

    def copied(self, context: Node, copy: Node) -> None:
        """`copy` is a copy of the process of `context`, with the modules that are imported there."""
        known = dict(self.brought.get(context.id, {}))
        for name in list(context.sent):
            if name not in known and name.partition('.')[0] != 'econtext':
                ours = self.broker.modules.unit(name)
                if ours is not None:
                    known[name] = messages.digest(ours)
        with self.bringing:
            self.brought[copy.id] = {**known, **self.brought.get(copy.id, {})}

    def serves(self, context: Node) -> bool:
        """Was `context` started for attached programs?"""
        return context.id in self.sharing.shared

    def supply(
        self, context: Node, handle: int, name: str, here: str | bool, otherwise: Callable[[], None]
    ) -> bool:
        """Have the programs that call into `context` answer for `name`, one after the other; is there one?"""
        top = name.partition('.')[0]
        if top == 'econtext' or top in sys.stdlib_module_names:
            return False
        programs = [program for program in list(self.programs) if context.id in program.contexts]
        if not programs:
            return False
        running = self.calls(context)
        if len(programs) > 1 and running:
            # As a rule the call that is the oldest one runs.
            programs.sort(key=lambda program: program is not running[0])
        self.ask(programs, context, handle, name, here, otherwise)
        return True

    def calls(self, context: Node) -> list[AttachedProgram | None]:
        """Return whose the calls are that `context` has not answered, the oldest first; None for the broker's own."""
        found: list[AttachedProgram | None] = []
        for who, answer in list(self.broker.router.asked.values()):
            if who == context.id:
                waits = getattr(answer, '__self__', None)
                found.append(cast('AttachedProgram', waits.program) if isinstance(waits, PassedCall) else None)
        return found

    def ask(
        self, programs: list[AttachedProgram], context: Node, handle: int, name: str, here: str | bool,
        otherwise: Callable[[], None],
    ) -> None:
        """Ask the first of `programs`, and the others where it has nothing."""
        def take(body: bytes | None) -> None:
            if timer is not None:
                timer.action = None
            found = None if body is None else decode(body)
            if context.error is not None:
                return
            if found is None:
                if programs[1:]:
                    self.ask(programs[1:], context, handle, name, here, otherwise)
                else:
                    otherwise()
            elif isinstance(here, str):
                if not isinstance(found, bytes):
                    raise BadFrame('a file of another form')
                self.broker.router.send(RESULT, context.id, handle, b'+' + found)
            else:
                unit = messages.whole_unit(found)
                self.conflict(context, [(name, unit)])
                # In this order: whoever finds the name among those sent finds it here as well.
                context.asked.add(name)
                context.sent.add(name)
                context.deliver([(name, unit)], handle, foreign=True)

        loop = self.broker.loop
        timer: Timer | None = None

        def look() -> None:
            """Wait on for a program that holds up nobody but itself."""
            if context.error is None and all(program is programs[0] for program in self.calls(context)):
                watch()
            else:
                programs[0].questions.expire(number)

        def watch() -> None:
            nonlocal timer
            timer = loop.call_at(time.monotonic() + ANSWER, lambda: loop.call_soon(look))

        what = (messages.DATA if isinstance(here, str) else messages.MODULE), name, here
        watch()
        number = programs[0].questions.ask(what, take, context.id)

    def disown(self) -> list[int]:
        """This process was forked: let go of the socket; return what else is to be closed, the socket included."""
        self.closed = True
        links = [program.link for program in self.programs]
        return [self.socket.detach(), *(link.out for link in links)]

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
