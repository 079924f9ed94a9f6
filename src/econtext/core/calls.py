"""
Carry out the calls that arrive, one after the other, in the main thread.

A call is ``(module, name, args, kwargs)``.  One that nobody waits for, handle 0,
is a *cast*: the controller's own, and its function is given the Child as well.  Of
casts only what goes wrong is told.

Invariants:

* Each call is answered once, by RESULT or ERROR, whatever its function does;
  and then the next one is taken.  From the first cast on ``supervisor`` answers,
  which knows of calls that are given up, and ``pool`` of other threads.
* What a call printed or logged is sent before its answer.

``receive`` is entered by the thread that leads, all else by the main thread.
"""
import marshal
import sys

from econtext.core.codec import encode, native
from econtext.core.loop import Waiter
from econtext.core.wire import ERROR, RESULT


class Dispatcher(object):
    def __init__(self, child):
        # type: (Child) -> None
        self.child = child
        self.calls = []
        self.waiter = Waiter(child.loop)
        self.functions = {}
        self.ended = False

    def receive(self, src, handle, body):
        # type: (int, int, bytes) -> None
        self.calls.append((src, handle, body))
        self.child.loop.finish(self.waiter)

    def serve(self):
        # type: () -> None
        while not self.ended:
            self.waiter.done = self.ended
            if self.calls:
                self.answer(*self.calls.pop(0))
            else:
                self.child.loop.wait(self.waiter)

    def answer(self, src, handle, body):
        # type: (int, int, bytes) -> None
        kind = RESULT
        try:
            value = encode(self.perform(handle, body))
        except:
            if self.ended:
                raise
            from econtext.core import failure
            kind = ERROR
            value = failure.describe(*sys.exc_info())
        if handle or kind == ERROR:
            self.child.logs.flush()
            self.child.router.send(kind, src, handle, value)

    def perform(self, handle, body):
        # type: (int, bytes) -> Any
        module, name, args, kwargs = self.child.restore(marshal.loads(body))
        if (module, name) not in self.functions:
            self.functions[module, name] = find(native(module), native(name))
        if kwargs:
            kwargs = dict([(native(key), kwargs[key]) for key in kwargs])
        if not handle:
            args = (self.child,) + args
        return self.functions[module, name](*args, **kwargs)


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
