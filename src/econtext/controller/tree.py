"""
The tree: the contexts of one broker, and what they share.

Invariants:

* A context that ends takes all below it along, and wakes everybody who waits.
* After ``close()`` no process, thread or descriptor of ours is left.

Any thread may enter.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import signal
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.child import renewal
from econtext.child.kinds import ASKED
from econtext.controller.errors import EcontextError
from econtext.controller.frames import Frames
from econtext.controller.lifecycle import CLOSING, LAST, Lifecycle
from econtext.controller.modules import built, manifest
from econtext.controller.modules.repository import Modules
from econtext.controller.protocol.places import Places
from econtext.controller.runtime import signals
from econtext.controller.runtime.log import say
from econtext.controller.runtime.loop import ControllerLoop
from econtext.controller.session.callbacks import Callbacks
from econtext.controller.session.channels import Channels
from econtext.controller.session.router import ControllerRouter

if TYPE_CHECKING:
    from typing import Protocol

    from econtext.controller.node import AttachedPrograms

    class Pool(Protocol):
        """The contexts of a fleet, whose connecting is to end before the tree does."""

        def close(self) -> object: ...

log: logging.Logger = logging.getLogger('econtext')


class Tree(Places, Lifecycle):
    """The contexts below this program, by one broker; their loop, router, modules, channels and callbacks."""

    def __init__(self, modules: Modules) -> None:
        super().__init__()
        self.modules: Modules = modules
        self.preamble: bytes = built.preamble(manifest.PREAMBLE)
        self.loop: ControllerLoop = ControllerLoop()
        self.router: ControllerRouter = ControllerRouter(self)
        self.names: dict[Any, tuple[str, str]] = {}
        self.channels: Channels = Channels(self)
        self.callbacks: Callbacks = Callbacks(self)
        self.frames: Frames = Frames(self)
        self.allowed: dict[tuple[str, str], Callable[..., Any]] = {}
        self.closed: bool = False
        self.attach_server: AttachedPrograms | None = None
        self.title: str = default_title()
        self.pools: weakref.WeakSet[Pool] = weakref.WeakSet()
        self.router.handle({**self.frames.handlers, ASKED: self.callbacks.receive, **self.channels.handlers})
        signals.defer(self)
        LIVE.add(self)

    def listen(self, path: str | os.PathLike[str] | None = None) -> str:
        """Let other programs of this user attach at the socket `path`; return the path."""
        if self.attach_server is not None:
            raise EcontextError(f'the broker listens at {self.attach_server.path} already')
        # Here, for few listen, and it imports what nothing else needs.
        from econtext.controller.attach.server import AttachServer, folder

        if path is None:
            path = os.path.join(folder(), f'{os.getpid()}.sock')
        self.attach_server = AttachServer(self, os.fspath(path))
        return self.attach_server.path

    def close(self) -> None:
        """End every context, within seconds; wait for their programs; let go of all."""
        if self.closed:
            return
        self.closed = True
        LIVE.discard(self)
        for pool in list(self.pools):
            # Before the look at what there is: it may be in the middle of starting one more.
            pool.close()
        all_contexts = list(self.unreaped.values())
        direct = [context for context in all_contexts if context.via is None]
        try:
            self.recover()
            for context in direct:
                self.stop(context, context.lost('the broker was closed'))
            deadline = time.monotonic() + CLOSING
            for context in direct:
                self.wait_exited(context, deadline)
            for context in all_contexts:
                context.lines.finish(deadline + LAST)
        except BaseException:
            # A second Ctrl-C: at once.
            for birth in list(self.births.values()):
                if birth.process:
                    birth.process.kill(signal.SIGKILL)
            raise
        finally:
            self.let_go()

    def let_go(self) -> None:
        """The last part of close(), which takes place whatever comes."""
        self.recover()
        try:
            for context in self.unreported:
                if not context.reported and context.error:
                    # Not here: handlers are the program's, and closing has its time.
                    self.loop.call_in_order(functools.partial(
                        say, log, logging.ERROR, 'nobody looked at this failure: %s', context.error()))
        finally:
            if self.attach_server is not None:
                self.attach_server.close()
            try:
                self.loop.close()
            finally:
                # Before, an interrupt that was put off would come in the middle of this.
                signals.restore(self)


def default_title() -> str:
    """Return what ``ps`` shows of our children: whose they are."""
    user = os.environ.get('LOGNAME')
    try:
        if not user:
            import getpass  # looks there first, and loads what asks for passwords

            user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = str(os.getuid())
    return f'econtext:{user}@{os.uname().nodename}:{os.getpid()}'


def forked() -> None:
    """
    This process was forked off one that has brokers: it has none, and touches nothing of theirs.

    Other threads may have held any lock as it began, so none is taken.
    """
    renewal.renew()
    for tree in list(LIVE):
        tree.disown()
    LIVE.clear()


os.register_at_fork(after_in_child=forked)

LIVE: weakref.WeakSet[Tree] = weakref.WeakSet()


@atexit.register
def close_all() -> None:
    """End what the program forgot to end."""
    for tree in list(LIVE):
        tree.close()
