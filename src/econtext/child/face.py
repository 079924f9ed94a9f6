"""
What ``import econtext`` gives to code that runs in a child.

The names of the controller's own package are all here, so that a program's
modules import the same on both ends.  Exceptions are real; what works on the
controller alone says so when it is used.  Any thread may enter; ``furnish`` is for the main thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from econtext.child.channels import End
    from econtext.child.interfaces import Home

import sys

from econtext.core.loop import CHUNK
from econtext.child.registry import register
from econtext.core.wire import EMPTY

ERRORS = (
    'ConnectError ContextLost CallError CallTimeout NotAllowed ForkExited CorruptStream InternalError FleetError'
).split()
# Written by scripts/public_names.py, up to END.
ELSEWHERE = (
    'Attachment Broker BytesLine Copied Fleet FleetExecutor FleetStream ForkResult Future Futures Host '
    'HostFuture Line Progress RemotePath Report Results RunLines Selection Step Stream TransferProgress '
    'aio attach doctor inventory local select ssh sudo testing'
).split()
# END


class EcontextError(Exception):
    """The base of the errors of econtext."""


class Interrupted(KeyboardInterrupt):
    """Raised where a function stands whose call was given up."""


class Context(object):
    """Another context, as an argument speaks of it."""
    _crosses_as = 'econtext'

    def __init__(self, home, number, name):
        # type: (Home, int, str) -> None
        self.home = home
        self.id = number
        self.name = name

    def call(self, function, *args, **kwargs):
        # type: (Any, Any, Any) -> Any
        """Run a function there, if it is below this context; return its result."""
        if self.home.forked_off:
            self.home.at_fork('refuse')()
        if not self.id:
            from econtext.child import upward
            return upward.call(self.home, function, args, kwargs)
        if self.id in self.home.router.links:
            return self.home.children().call(self.id, self.name, function, args, kwargs)
        from econtext.child import labels
        raise sys.modules['econtext'].ContextLost(labels.NOT_BELOW % self.name)

    def __repr__(self):
        # type: () -> str
        return '<econtext.Context %s>' % self.name

    def _cross(self):
        # type: () -> tuple[Any, ...]
        if not self.id:
            raise TypeError('econtext.program cannot be sent as a value')
        return self.id, self.name


class Secret(object):
    """A text that shows nowhere."""
    _crosses_as = 'econtext'

    def __init__(self, text):
        # type: (Any) -> None
        self.reveal = lambda: text  # type: Callable[[], Any]

    def __repr__(self):
        # type: () -> str
        return '<econtext.Secret>'

    def __format__(self, spec):
        # type: (Any) -> str
        return repr(self)

    def __eq__(self, other):
        # type: (Any) -> Any
        return isinstance(other, Secret) and self.reveal() == other.reveal()

    def __ne__(self, other):
        # type: (Any) -> Any
        return not self == other

    def __hash__(self):
        # type: () -> int
        return hash(self.reveal())

    def __reduce_ex__(self, protocol):
        # type: (Any) -> Any
        raise TypeError('a Secret cannot be pickled: pickle what its reveal() returns')


class Generic(type):
    """Says what ``Channel[int]`` is, in annotations: before Python 3.7 a metaclass alone can do that."""

    def __getitem__(cls, item):
        # type: (Any) -> Any
        return cls


class Channel(object):
    """The far end of a stream of values, handed to a function as an argument."""
    _crosses_as = 'econtext'

    def begin(self, home, end):
        # type: (Home, End) -> None
        self.home = home
        self.end = end

    def open(self):
        # type: () -> bool
        """Tell whether both ends are open."""
        return self.end.is_open()

    def send(self, value):
        # type: (Any) -> None
        """Send `value`; wait while the other end does not keep up."""
        from econtext.core import codec
        if type(value) is type(EMPTY) and len(value) >= CHUNK:
            body, data = codec.tagged(codec.BYTES, len(value)), value
        else:
            body, data = codec.encode(value), EMPTY
        if not self.end.send(body, data):
            raise EcontextError('the channel is closed: ask open() before send(), keep() to outlive the call')

    def close(self):
        # type: () -> None
        """Tell the other end that nothing more will come."""
        self.end.close()

    def keep(self):
        # type: () -> Channel
        """Leave the channel open beyond the end of its calls; return it."""
        if not self.end.is_open():
            raise EcontextError('the channel is closed: keep() before its call ends')
        self.end.keep()
        return self

    def __iter__(self):
        # type: () -> Any
        return self

    def next(self):
        # type: () -> Any
        """Return the next value; stop when the other end has closed."""
        import marshal
        body = self.end.get()
        if body is None:
            raise StopIteration
        return self.home.restore(marshal.loads(body))

    __next__ = next

    def _cross(self):
        # type: () -> tuple[Any, ...]
        return self.end.peer, self.end.handle, self.end.window

    def __del__(self):
        # type: () -> None
        # Not closed at once: we may be inside of anything.
        self.home.holders.dropped.append(self.end)  # type: ignore[union-attr]


class Elsewhere(object):
    """Stands for what only the controller has."""

    def __init__(self, name):
        # type: (str) -> None
        self.name = name

    def __call__(self, *args, **kwargs):
        # type: (Any, Any) -> None
        from econtext.child import labels
        raise EcontextError(labels.ELSEWHERE % self.name)

    def __getattr__(self, name):
        # type: (str) -> Any
        if name[:2] == '__':
            raise AttributeError(name)
        self()

    def __or__(self, other):
        # type: (Any) -> Any
        # In annotations: ``Broker | None``, ``Future[int]``.
        return self

    __ror__ = __or__
    __getitem__ = __or__


def furnish(package):
    # type: (Any) -> None
    """Give `package`, the child's econtext, its names."""
    EcontextError.__module__ = Interrupted.__module__ = 'econtext'
    package.EcontextError = EcontextError
    package.Interrupted = Interrupted
    package.Context = Context
    package.Channel = Generic('Channel', (Channel,), {})
    package.Secret = Secret
    package.register = register
    # Before Python 2.5 exceptions are classes of the old kind.
    make = type(EcontextError)  # type: Any
    for name in ERRORS:
        setattr(package, name, make(name, (EcontextError,), {'__module__': 'econtext'}))
    for name in ELSEWHERE:
        setattr(package, name, Elsewhere(name))
