"""
A process that the application forks off a context is no context.

Invariants:

* It holds no descriptor of the link, so it neither disturbs nor keeps it; commands of the context are not its own.
* What is closed is forgotten: a copy of a context (``parent.forking``) still has what
  watched forks for the one before it, and another file may have that number by then.
* What it prints is heard as before; what it would ask others is refused.
* It ends as it likes, and takes along nothing but itself.  SIGTERM and SIGHUP call it
  away once (SystemExit); its cleanup is not disturbed.
* All that it may need of ours was loaded before it was forked: it shows tracebacks with
  their sources, imports what was sent by then, and of the rest hears why it cannot.

Sent behind HELLO; loaded before the first fork.  Entered by the thread that forks.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.core.interfaces import Home
    from econtext.core.loop import Link

import os
import sys
try:
    import _signal as signal
except ImportError:
    import signal

# Tracebacks ask for it, and a forked process could not fetch it.
from econtext.core import resources  # noqa: F401
from econtext.core.pull import Loader, Pull


class Nobody(object):
    """The owner of all links in the forked process, and their transport."""

    def lost(self, link, reason):
        # type: (Link, str) -> None
        pass

    def send(self, *frame):
        # type: (Any) -> None
        pass

    def flush(self):
        # type: () -> None
        pass

    def ready(self, fd):
        # type: (int) -> None
        pass


class Unreachable(object):
    """A finder behind all others: says why a module cannot be had."""

    def find_spec(self, name, path=None, target=None):
        # type: (str, Any, Any) -> Any
        # Who only asks whether there is such a module is told that there is none.
        if sys._getframe(1).f_back.f_code.co_name[:14] == '_find_and_load':  # type: ignore[union-attr]
            raise missing(name)

    def find_module(self, name, path=None):
        # type: (str, Any) -> None
        """Nothing: there the words of a finder are lost."""


def missing(name):
    # type: (str) -> Any
    """Return the error for an import of `name`, which says what to do."""
    if name[:9] == 'econtext.':
        refuse()
    kind = getattr(sys.modules['builtins'], 'ModuleNotFoundError', ImportError)
    return kind(
        'No module named %s: this process was started from a context, and is sent no modules: let the '
        'context import it before' % name, name=name)


def called_away(*event):
    # type: (Any) -> None
    """A signal ends this process: its cleanup runs, and is not disturbed."""
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, ignore)
    sys.exit(1)


def forked(home):
    # type: (Home) -> None
    """This process was just forked off the context of `home`."""
    home.forked_off = home.supervisor.ended = True
    for number in signal.SIGTERM, signal.SIGHUP:
        if signal.getsignal(number) == home.stop:
            signal.signal(number, called_away)
    nobody = Nobody()
    close(list(home.loop.watched))
    for poller in home.loop.poller, home.flow.pipes:
        if hasattr(poller, 'close'):
            # Others have no descriptor.
            poller.close()
    home.loop.watched.clear()
    home.loop.wait = refuse  # type: ignore[method-assign,assignment]
    home.router.send = ignore  # type: ignore[method-assign,assignment]
    for link in [home.link] + [each for each in home.router.links.values() if each]:
        # One that is paused is not among those that are watched.
        close([link.out, link.fd])
        link.out, link.fd = -1, None
        link.owner = link.transport = nobody
    del home.supervisor.before_answer[:]
    if 'econtext.core.running' in sys.modules:
        sys.modules['econtext.core.running'].forget_all()
    for finder in sys.meta_path:
        if isinstance(finder, Pull):
            finder.hooks.pop('logging', None)
    cut_off()
    if 'logging' in sys.modules:
        root = sys.modules['logging'].getLogger()
        root.handlers[:] = [
            handler for handler in root.handlers
            if type(handler).__module__ != 'econtext.core.records']


def cut_off():
    # type: () -> None
    """Whoever wants what is not here hears why."""
    sys.meta_path.append(Unreachable())
    # A traceback shows sources that are here; of files that stay with the program it has none.
    # A copy of a context begins anew, with another loader.
    for finder in sys.meta_path:
        if isinstance(finder, Loader):
            finder.cut_off = True


def close(fds):
    # type: (Any) -> None
    for fd in fds:
        try:
            if fd is not None and fd > 2:
                os.close(fd)
        except OSError:
            # Closed already.
            pass


def ignore(*args):
    # type: (Any) -> None
    pass


def refuse(*args):
    # type: (Any) -> None
    raise sys.modules['econtext'].EcontextError(
        'this process was started from a context, and reaches nobody: let the context '
        'itself do what needs other contexts, modules or channels')
