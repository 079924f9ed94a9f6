"""
Carry out the first call that arrives, in the main thread; and find what calls name.

A call is ``(module, name, args, kwargs)``.  One that nobody waits for, handle 0,
is a *cast*: the controller's own.  Of casts only what goes wrong is told.

Invariants:

* The first call is the cast that furnishes this context.  Its function, ``life.settle``,
  is given the Child, carries out all further calls, and returns as the context ends.
* Where it fails before HELLO was sent, whatever part of it, the controller is told why, and ends us.

``receive`` is entered by the thread that leads, all else by the main thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from econtext.core.loop import Link, Loop, Owner
    from econtext.core.router import Router

    class Child(Owner, Protocol):
        """What a context begins with: ``main.Child``."""

        @property
        def loop(self) -> Loop: ...
        @property
        def router(self) -> Router: ...
        @property
        def link(self) -> Link: ...
        @property
        def greeted(self) -> bool: ...

import marshal
import sys

from econtext.core.codec import encode, native
from econtext.core.loop import Waiter
from econtext.core.wire import ERROR


class Dispatcher(object):
    """What arrives before ``supervisor`` takes over; it goes on with `calls` and `waiter`."""

    def __init__(self, child):
        # type: (Child) -> None
        self.child = child
        self.calls = []  # type: list[tuple[int, int, bytes]]
        self.waiter = Waiter(child.loop)  # type: Waiter

    def receive(self, src, handle, body):
        # type: (int, int, bytes) -> None
        self.calls.append((src, handle, body))
        self.child.loop.finish(self.waiter)

    def serve(self):
        # type: () -> None
        """Carry out the first call; return when the context ends."""
        self.child.loop.wait(self.waiter)
        src, handle, body = self.calls.pop(0)
        # What it is given are settings, plain values all.
        module, name, args, kwargs = marshal.loads(body)
        try:
            find(native(module), native(name))(self.child, *args, **kwargs)
        except:
            if self.child.greeted:
                # So ends a whole context, or a process that was forked off one.
                raise
            import traceback
            # Of what was furnished nothing is of use: the end of the link ends us, as at the start.
            self.child.link.owner = self.child
            self.child.router.send(ERROR, src, handle, encode((
                '', '', ''.join(traceback.format_exception(*sys.exc_info())), [], None, {})))
            # The controller ends us: if we did now, the message might be lost.
            self.child.loop.wait(Waiter(self.child.loop))


def find(module, name):
    # type: (str, str) -> Any
    """Return what `name`, dotted, is in `module`."""
    if module == 'builtins':
        module = len.__module__
    __import__(module)
    value = sys.modules[module]
    for part in name.split('.'):
        value = getattr(value, part)
    return value
