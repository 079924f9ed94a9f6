"""
A process that the application forks off a context is no context.

Invariants:

* It holds no descriptor of the link, so it neither disturbs nor keeps it.
* What is closed is forgotten: a copy of a context (``parent.forking``) still has what
  watched forks for the one before it, and another file may have that number by then.
* What it prints is heard as before; what it would ask others is refused.
* It ends as it likes, and takes along nothing but itself.

Fetched before the first fork.  Entered by the thread that forks.
"""
import os
import sys

from econtext.core.pull import Pull


class Nobody(object):
    """Stands for ``life`` in the forked process."""

    def leave(self):
        # type: () -> None
        """Nothing is to be ended but this process, which does so anyway."""

    def lost(self, link, reason):
        # type: (Link, str) -> None
        pass


def forked(child):
    # type: (Child) -> None
    """This process was just forked off `child`."""
    child.dispatcher.ended = True
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
        close([link.out, link.fd])
        link.out = -1
        link.send = link.write = ignore
    child.logs.flush = ignore
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Pull)]
    if 'logging' in sys.modules:
        root = sys.modules['logging'].getLogger()
        root.handlers[:] = [
            handler for handler in root.handlers
            if type(handler).__module__ != 'econtext.core.records']


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
        'this process was forked off a context, and reaches nobody: let the context '
        'itself do what needs other contexts, modules or channels')
