"""
A worker or a scheduler of Dask, as one call of a context.

The strategy: ``serve`` runs the event loop of the server in the thread of the call.  `control` is a channel to the
program that started it: its end is the end of the server.  Through it the program is asked for connections, and says
which come.

Invariants:

* Nothing of distributed is imported unless it is installed here: its sources are not fetched from the program.
* The folder of the server is gone when ``serve`` has ended, by whatever but a SIGKILL.
* What distributed logs goes the way of all records.

Sent with the first call of ``serve``.  ``listen`` has a thread of its own; the rest is that of the call.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import sys

from econtext.child import daskcomm, tunnels

PATIENCE = 1.0      # seconds that what is left of the event loop has at the end
# Loggers that distributed gives handlers of their own.
LOGGERS = 'distributed', 'bokeh', 'tornado'


def serve(control, kind, options, place, expected):
    # type: (Any, str, dict[str, Any], str, str) -> None
    """Be a server of `kind`, Worker or Scheduler, at `place` until it ends, or `control` does."""
    import shutil
    import tempfile

    python = tuple(sys.version_info[:3])
    installed = is_installed()
    version = folder = ''
    if installed and sys.version_info >= (3, 9):
        version = str(getattr(__import__('distributed'), '__version__'))  # noqa: B009 -- not exported, for checkers
    if version == expected:
        folder = tempfile.mkdtemp('', 'econtext-dask-', options.pop('local_directory', None))
    control.send(('begun', version, python, sys.executable, folder))
    if not folder:
        return
    try:
        output_as_records()
        Server(control, kind, options, place, folder).run()
    finally:
        shutil.rmtree(folder, True)


def is_installed():
    # type: () -> bool
    """Is distributed installed on this machine, for this Python?"""
    try:
        from importlib.machinery import PathFinder
    except ImportError:
        return False
    return PathFinder.find_spec('distributed') is not None


def clear(folder):
    # type: (str) -> None
    """Remove what a server has left that was killed."""
    import shutil
    shutil.rmtree(folder, True)


def output_as_records():
    # type: () -> None
    """Have lines leave as they are printed, and what distributed logs go the way of other records, at their levels."""
    import logging
    for stream in sys.stdout, sys.stderr:
        # The call does not end, and until then they would stay in the buffer.
        getattr(stream, 'reconfigure')(line_buffering=True)  # noqa: B009 -- of Python 3.7
    for name in list(logging.Logger.manager.loggerDict):
        logger = logging.getLogger(name)
        if name.split('.')[0] in LOGGERS and logger.handlers:
            logger.handlers[:] = []
            logger.propagate = True
            if logger.level < logging.WARNING:
                logger.setLevel(logging.NOTSET)


class Server(object):
    """One server, and its event loop."""

    def __init__(self, control, kind, options, place, folder):
        # type: (Any, str, dict[str, Any], str, str) -> None
        import asyncio

        self.asyncio = asyncio  # type: Any
        self.control = control
        self.kind = kind
        self.options = options
        self.folder = folder
        self.loop = asyncio.new_event_loop()  # type: Any
        self.server = None  # type: Any
        self.error = None  # type: Any
        self.closing = False  # type: bool
        # What waits for a connection, by number.
        self.dials = {}  # type: dict[int, Callable[[Any, str], None]]
        self.count = 0  # type: int
        daskcomm.OWN[:] = [place]
        daskcomm.register(self.dial)

    def run(self):
        # type: () -> None
        """Serve until the server has ended; raise why it could not begin."""
        self.asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self.begin)
        tunnels.begin('econtext dask control', self.listen)
        self.loop.run_forever()
        left = self.asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(self.asyncio.wait(left, timeout=PATIENCE))
        self.loop.close()
        if self.error is not None:
            raise self.error

    def begin(self):
        # type: () -> None
        try:
            self.server = self.make()
            starting = self.asyncio.ensure_future(self.server.start())
        except Exception:
            self.error = sys.exc_info()[1]
            self.loop.stop()
            return
        starting.add_done_callback(self.started)

    def make(self):
        # type: () -> Any
        """Return the server, which has not begun."""
        distributed = __import__('distributed')  # type: Any
        options = dict(self.options)
        security = options.pop('security', None)
        if security:
            options['security'] = distributed.Security(**security)
        if self.kind == 'Worker':
            return distributed.Worker(options.pop('scheduler'), local_directory=self.folder, **options)
        return distributed.Scheduler(**options)

    def started(self, starting):
        # type: (Any) -> None
        """The server has begun, or could not."""
        if starting.cancelled():
            self.loop.stop()
            return
        self.error = starting.exception()
        if self.error is not None:
            self.loop.stop()
            return
        self.control.send(('ready', self.server.address))
        finished = self.asyncio.ensure_future(self.server.finished())
        finished.add_done_callback(lambda finished: self.loop.stop())

    def close(self):
        # type: () -> None
        """The program has no more use of the server."""
        if self.closing:
            return
        self.closing = True
        if self.server is None:
            self.loop.stop()
            return
        options = {}  # type: dict[str, Any]
        if self.kind == 'Worker':
            # Its tasks end with this process.
            options = {'executor_wait': False, 'nanny': False}
        closed = self.asyncio.ensure_future(self.server.close(**options))
        closed.add_done_callback(self.closed)

    def closed(self, closed):
        # type: (Any) -> None
        if not closed.cancelled():
            # It was told in the log, and there is no other way to end.
            closed.exception()
        self.loop.stop()

    def dial(self, place, done):
        # type: (str, Callable[[Any, str], None]) -> None
        """Ask the program for a connection. The event loop's thread."""
        self.count += 1
        self.dials[self.count] = done
        try:
            self.control.send(('dial', self.count, place))
        except Exception:
            # Who fails the others may have found it already.
            if self.dials.pop(self.count, None):
                done(None, 'the cluster is closed')

    def listen(self):
        # type: () -> None
        """Take what the program says, until it closes the channel."""
        try:
            for word in self.control:
                self.take(*word)
        finally:
            for number in list(self.dials):
                done = self.dials.pop(number, None)
                if done:
                    done(None, 'the cluster is closed')
            try:
                self.loop.call_soon_threadsafe(self.close)
            except RuntimeError:
                # The loop has ended.
                pass

    def take(self, kind, which, value):
        # type: (str, Any, Any) -> None
        if kind == 'way':
            self.dials.pop(which)(tunnels.pair(value), '')
        elif kind == 'none':
            self.dials.pop(which)(None, value)
        elif kind == 'accept':
            daskcomm.accept(which, tunnels.pair(value))
        else:
            tunnels.join(connected(which), value)


def connected(port):
    # type: (int) -> Any
    """Return a socket that is connected to a port of this machine; a closed one if nobody listens there."""
    import socket

    end = socket.socket()
    try:
        end.connect(('127.0.0.1', port))
    except Exception:
        # Read from it, and it has ended.
        end.close()
    return end
