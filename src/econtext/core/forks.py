"""
A process that the application forks off a context is no context.

Invariants:

* It holds no descriptor of the link, so it neither disturbs nor keeps it.
* What is closed is forgotten: a copy of a context (``parent.forking``) still has what
  watched forks for the one before it, and another file may have that number by then.
* What it prints is heard as before; what it would ask others is refused.
* It ends as it likes, and takes along nothing but itself.  SIGTERM and SIGHUP call it
  away once (SystemExit); its cleanup is not disturbed.
* All that it may need of ours was loaded before it was forked: it shows tracebacks with
  their sources, imports what was sent by then, and of the rest hears why it cannot.

Sent behind HELLO; loaded before the first fork.  Entered by the thread that forks.
"""
import os
import sys
try:
    import _signal as signal
except ImportError:
    import signal

# Tracebacks ask for it, and a forked process could not fetch it.
from econtext.core import resources
from econtext.core.importer import Importer
from econtext.core.pull import Pull


class Nobody(object):
    """Stands for ``life`` in the forked process."""

    def leave(self):
        # type: () -> None
        """Nothing is to be ended but this process, which does so anyway."""

    def lost(self, link, reason):
        # type: (Link, str) -> None
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


def forked(child):
    # type: (Child) -> None
    """This process was just forked off `child`."""
    child.dispatcher.ended = True
    for number in signal.SIGTERM, signal.SIGHUP:
        if signal.getsignal(number) == getattr(child.link.owner, 'stop', ignore):
            signal.signal(number, called_away)
    child.link.owner = Nobody()
    close(list(child.loop.watched))
    for poller in child.loop.poller, child.flow.pipes:
        if hasattr(poller, 'close'):
            # Others have no descriptor.
            poller.close()
    child.loop.watched.clear()
    child.loop.wait = refuse
    child.router.send = ignore
    for link in [child.link] + list(child.router.links.values()):
        # One that is paused is not among those that are watched.
        close([link.out, link.fd])
        link.out, link.fd = -1, None
        link.send = link.write = ignore
    child.logs.flush = ignore
    for finder in sys.meta_path:
        if isinstance(finder, Pull):
            finder.hooks.pop('logging', None)
            finder.may_have = no  # type: ignore[method-assign, assignment]
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
    # Of what loads in this process; what a copy of a context begins anew is another one.
    resources.CUT_OFF[:] = [finder for finder in sys.meta_path if isinstance(finder, Importer)]


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


def no(*args):
    # type: (Any) -> bool
    """Say that the controller has no module for us."""
    return False


def refuse(*args):
    # type: (Any) -> None
    raise sys.modules['econtext'].EcontextError(
        'this process was started from a context, and reaches nobody: let the context '
        'itself do what needs other contexts, modules or channels')
