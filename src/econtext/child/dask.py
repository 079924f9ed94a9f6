"""
A worker or a scheduler of Dask, as one call of a context; and its connections, which go through the links of econtext.

The strategy: ``serve`` runs the event loop of the server in the thread of the call.  `control` is a channel to the
program that started it: its end is the end of the server.  Through it the program is asked for connections, and says
which come.  A connection is one of distributed's own for TCP, on one of a pair of Unix sockets; a channel carries the
bytes of the other.  So no process listens at a port.  Addresses are ``econtext://HOST/CLUSTER/NUMBER``.

Invariants:

* Nothing of distributed is imported unless it is installed here: its sources are not fetched from the program.
* The folder of the server is gone when ``serve`` has ended, by whatever but a SIGKILL.
* What distributed logs goes the way of all records.
* What was written before an end is read before that end is seen, on either side of a connection.
* An end of one side ends the other; both threads of a connection then end, and the socket is closed once.
* An address that nobody listens at is a failed connection, which distributed tries again as it does with any.
* A certificate or key that is given by its path is a file of this host, or the server does not begin.

Sent with the first call of ``serve``; the controller uses the part for connections as well.  A connection has two
threads of its own, ``listen`` has one, ``accept`` and ``join`` may be called by any; the rest is the event loop's.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import socket
import sys
import threading

from econtext.child import resources

SCHEME = 'econtext'
CHUNK = 1 << 18     # bytes that are read at a time
PATIENCE = 1.0      # seconds that what is left of the event loop has at the end
# Loggers that distributed gives handlers of their own.
LOGGERS = 'distributed', 'bokeh', 'tornado'
# Where Dask is configured which certificate its HTTP servers have; and the names of the files.
PAGES_TLS, FILES = 'distributed.scheduler.dashboard.tls', ('ca-file', 'cert', 'key')
OLDEST = (3, 9)     # of the Pythons that distributed runs on
# What listens in this process, by the part of its address behind the scheme.
LISTENERS = {}  # type: dict[str, Any]
# The address of this process, for a server that was given none.
OWN = []  # type: list[str]
# Tasks that handle connections.
HANDLED = set()  # type: set[Any]


def loaded(name):
    # type: (str) -> Any
    """Return a module that not every Python has."""
    __import__(name)
    return sys.modules[name]


class Plain(socket.socket):
    """A socket without options: a Unix socket has none of those that code for TCP sets."""

    def setsockopt(self, *args):
        # type: (Any) -> None
        pass


def pair(channel):
    # type: (Any) -> Any
    """Return a socket whose bytes go through `channel`, and come from there."""
    near, far = socket.socketpair()
    join(far, channel)
    return Plain(near.family, near.type, near.proto, near.detach())


def local_pair():
    # type: () -> tuple[Any, Any]
    """Return two sockets that are each other's ends, for a way within this process."""
    ends = socket.socketpair()
    made = [Plain(end.family, end.type, end.proto, end.detach()) for end in ends]
    return made[0], made[1]


def join(end, channel):
    # type: (Any, Any) -> None
    """Pump bytes between socket `end` and `channel`; return at once."""
    inward = begin('econtext way in', fill, end, channel)
    begin('econtext way out', drain, end, channel, inward)


def begin(name, function, *args):
    # type: (str, Callable[..., Any], Any) -> threading.Thread
    """Start a thread that ends with this process."""
    thread = threading.Thread(target=function, name=name, args=args)
    setattr(thread, 'daemon', True)  # noqa: B010 -- of Python 2.6
    thread.start()
    return thread


def fill(end, channel):
    # type: (Any, Any) -> None
    """Write to the socket what comes by the channel."""
    try:
        for data in channel:
            end.sendall(data)
    except Exception:
        # The other side of the socket has ended, or the context of the channel.
        pass
    shut(end)
    channel.close()


def drain(end, channel, inward):
    # type: (Any, Any, threading.Thread) -> None
    """Send by the channel what is read from the socket."""
    try:
        while 1:
            data = end.recv(CHUNK)
            if not data:
                break
            channel.send(data)
    except Exception:
        # The same.
        pass
    channel.close()
    shut(end)
    inward.join()
    end.close()


def shut(end):
    # type: (Any) -> None
    """End both ways of a socket; what it was given already can still be read at the other side."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except Exception:
        # It has ended.
        pass


def accept(place, end):
    # type: (str, Any) -> bool
    """Hand a connection on socket `end` to who listens at `place`; False if nobody does, and the socket is closed."""
    listener = LISTENERS.get(place)
    if listener is not None and listener.take(end):
        return True
    end.close()
    return False


def plain(place):
    # type: (str) -> str
    """Return `place` without the port that distributed puts behind it."""
    return place.split(':')[0]


def connection(begin, made, failure):
    # type: (Callable[[Callable[[Any, str], None]], None], Callable[[Any], Any], Callable[[str], Any]) -> Any
    """
    Return a future of the event loop that runs: what ``made(socket)`` returns, or the error that ``failure(why)`` does.

    ``begin(done)`` begins the connection; ``done(socket, '')`` or ``done(None, why)`` says, in any thread, what came
    of it.
    """
    loop = loaded('asyncio').get_running_loop()
    future = loop.create_future()

    def finish(end, why):
        # type: (Any, str) -> None
        if future.done():
            if end:
                end.close()
        elif end:
            try:
                future.set_result(made(end))
            except Exception:
                end.close()
                future.set_exception(sys.exc_info()[1])
        else:
            future.set_exception(failure(why))

    def done(end, why):
        # type: (Any, str) -> None
        try:
            loop.call_soon_threadsafe(finish, end, why)
        except RuntimeError:
            # The loop has ended.
            if end:
                end.close()

    begin(done)
    return future


def register(dial):
    # type: (Callable[[str, Callable[[Any, str], None]], Any]) -> None
    """
    Have distributed know these addresses in this process.

    ``dial(place, done)`` begins a connection; ``done(socket, '')`` or ``done(None, why)`` says, in any thread, what
    came of it.
    """
    aio = loaded('asyncio')
    registry, core = loaded('distributed.comm.registry'), loaded('distributed.comm.core')
    connector, listener, backend = core.Connector, core.BaseListener, registry.Backend  # type: Any, Any, Any
    stream, tcp = loaded('tornado.iostream').IOStream, loaded('distributed.comm.tcp')

    def made(end, local, peer, deserialize):
        # type: (Any, str, str, bool) -> Any
        end.setblocking(False)
        # Tornado itself takes no value that is larger than 100 MiB.
        end = stream(end, max_buffer_size=tcp.MAX_BUFFER_SIZE)
        return tcp.TCP(end, SCHEME + '://' + local, SCHEME + '://' + peer, deserialize)

    class LinkConnector(connector):  # type: ignore[misc]
        def connect(self, address, deserialize=True, **options):
            # type: (str, bool, Any) -> Any
            here, place = (OWN + [address])[0], plain(address)

            def begin(done):
                # type: (Callable[[Any, str], None]) -> None
                if place in LISTENERS:
                    near, far = local_pair()
                    accept(place, far)
                    done(near, '')
                else:
                    dial(place, done)

            return connection(begin, lambda end: made(end, here, address, deserialize), core.CommClosedError)

    class LinkListener(listener):  # type: ignore[misc]
        prefix = SCHEME

        def __init__(self, place, handler, deserialize):
            # type: (str, Any, bool) -> None
            super(LinkListener, self).__init__()
            self.place = plain(place) or OWN[0]
            self.handler = handler
            self.deserialize = deserialize
            self.loop = None  # type: Any

        def start(self):
            # type: () -> Any
            self.loop = aio.get_running_loop()
            LISTENERS[self.place] = self
            started = self.loop.create_future()
            started.set_result(None)
            return started

        def stop(self):
            # type: () -> None
            LISTENERS.pop(self.place, None)

        def take(self, end):
            # type: (Any) -> bool
            try:
                self.loop.call_soon_threadsafe(self.begin, end)
            except RuntimeError:
                # The loop has ended.
                return False
            return True

        def begin(self, end):
            # type: (Any) -> None
            comm = made(end, self.place, self.place + '/peer', self.deserialize)
            greeted = aio.ensure_future(self.on_connection(comm))
            greeted.add_done_callback(lambda done: self.greeted(done, comm))

        def greeted(self, done, comm):
            # type: (Any, Any) -> None
            if done.cancelled() or done.exception() is not None:
                # It ended before both had said who they are.
                comm.abort()
                return
            handled = self.handler(comm)
            if aio.iscoroutine(handled):
                handled = aio.ensure_future(handled)
                # Until it ends, or the loop would forget it.
                HANDLED.add(handled)
                handled.add_done_callback(HANDLED.discard)

        listen_address = property(lambda self: SCHEME + '://' + self.place)
        contact_address = property(lambda self: SCHEME + '://' + self.place)

    class LinkBackend(backend):  # type: ignore[misc]
        def get_connector(self):
            # type: () -> Any
            return LinkConnector()

        def get_listener(self, loc, handle_comm, deserialize, **options):
            # type: (Any, Any, Any, Any) -> Any
            return LinkListener(loc, handle_comm, deserialize)

        def get_address_host(self, place):
            # type: (str) -> str
            return place.split('/')[0]

        def get_address_host_port(self, place):
            # type: (str) -> tuple[str, int]
            parts = plain(place).split('/')
            # The number of the server, which differs as ports do.
            return parts[0], int(parts[-1])

        def resolve_address(self, place):
            # type: (str) -> str
            return place

        def get_local_address_for(self, place):
            # type: (str) -> str
            return (OWN + [place])[0]

    registry.backends[SCHEME] = LinkBackend()


def serve(control, kind, options, place, expected, foretold, furnish=None):
    # type: (Any, str, dict[str, Any], str, str, Any, Callable[[Any, str | None, Any], None] | None) -> None
    """
    Be a server of `kind`, Worker or Scheduler, at `place` until it ends, or `control` does.

    Load distributed, say so, and begin once the program tells the address of the scheduler, None to a scheduler.
    """
    import shutil
    import tempfile

    python = tuple(sys.version_info[:3])
    version = folder = ''
    if is_installed():
        # Importing Dask asks for all distributions: nothing was sent yet that has one, and the program would look long.
        resources.METADATA.setdefault('', [])
        spare_questions(*foretold)
        version = str(uncollected('distributed').__version__)
    if version == expected:
        folder = tempfile.mkdtemp('', 'econtext-dask-', options.pop('local_directory', None))
    try:
        # Raises if the program has no more use of the server.
        control.send(('begun', version, python, sys.executable, folder))
        if folder:
            output_as_records()
            for word in control:
                if kind == 'Worker':
                    options['scheduler'] = word[2]
                Server(control, kind, options, place, folder, furnish).run()
                break
    finally:
        if folder:
            shutil.rmtree(folder, True)


def is_installed():
    # type: () -> bool
    """Is distributed installed on this machine, for this Python?"""
    if sys.version_info < OLDEST:
        return False
    return loaded('importlib.machinery').PathFinder.find_spec('distributed') is not None


def spare_questions(theirs, absent):
    # type: (list[str], list[str]) -> None
    """
    Have imports not ask the program for modules of which it has foretold the answer: each question is a trip.

    The program sends none of `theirs` where a package here has them, and has none of `absent`.
    """
    find = loaded('importlib.machinery').PathFinder.find_spec
    for finder in sys.meta_path:
        units = getattr(getattr(getattr(finder, 'home', None), 'importer', None), 'units', None)  # type: Any
        if units is not None:
            for name in absent + [name for name in theirs if find(name)]:
                units.setdefault(name, None)


def uncollected(name):
    # type: (str) -> Any
    """Return a large module, whose import makes little garbage, without looking for any meanwhile."""
    gc = loaded('gc')
    if not gc.isenabled():
        return loaded(name)
    gc.disable()
    try:
        return loaded(name)
    finally:
        gc.enable()


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
    root = logging.getLogger()

    class Upward(logging.Handler):
        """Hands on what the root would take; servers keep the rest for ``get_logs``."""

        def emit(self, record):
            # type: (Any) -> None
            if record.levelno >= root.getEffectiveLevel():
                root.callHandlers(record)

    for name in list(logging.Logger.manager.loggerDict):
        logger = logging.getLogger(name)
        if name.split('.')[0] in LOGGERS and logger.handlers:
            logger.handlers[:] = [Upward()]
            logger.propagate = False


class Server(object):
    """One server, and its event loop."""

    def __init__(self, control, kind, options, place, folder, furnish):
        # type: (Any, str, dict[str, Any], str, str, Callable[[Any, str | None, Any], None] | None) -> None
        self.asyncio = loaded('asyncio')  # type: Any
        self.control = control
        self.kind = kind
        self.options = options
        self.folder = folder
        # Completes a scheduler that was made.
        self.furnish = furnish
        self.loop = self.asyncio.new_event_loop()  # type: Any
        self.server = None  # type: Any
        self.error = None  # type: Any
        self.closing = False  # type: bool
        # What waits for a connection, by number.
        self.dials = {}  # type: dict[int, Callable[[Any, str], None]]
        self.count = 0  # type: int
        OWN[:] = [place]
        register(self.dial)

    def run(self):
        # type: () -> None
        """Serve until the server has ended; raise why it could not begin."""
        self.asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self.begin)
        begin('econtext dask control', self.listen)
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
        distributed = loaded('distributed')
        options = dict(self.options)
        config = loaded('dask.config')
        config.update(config.global_config, options.pop('config'))
        check_files([(PAGES_TLS + '.' + name, config.get(PAGES_TLS + '.' + name, None)) for name in FILES])
        security = options.pop('security', None)
        if security:
            check_files([('security.' + name, value) for name, value in sorted(security.items())
                         if name.split('_')[-1] in ('file', 'cert', 'key')])
            options['security'] = distributed.Security(**security)
        if self.kind == 'Worker':
            share = options.pop('share')
            if not options['nthreads']:
                options['nthreads'] = max(1, loaded('dask.system').CPU_COUNT // share)
            if options['memory_limit'] == 'auto' and options['nthreads'] * share > loaded('dask.system').CPU_COUNT:
                # distributed counts by processors: where there are fewer, the limits together were beyond the memory.
                options['memory_limit'] = loaded('distributed.system').MEMORY_LIMIT // share
            return distributed.Worker(options.pop('scheduler'), local_directory=self.folder, **options)
        scheduler = distributed.Scheduler(**options)
        if self.furnish is not None:
            self.furnish(scheduler, options.get('http_prefix'), self.reach)
        return scheduler

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
        try:
            self.control.send(('ready', self.server.address))
        except Exception:
            # The program has no more use of it: close() is about to be called.
            return
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
        """Ask the program for a connection to the server at a place. The event loop's thread."""
        self.ask('dial', place, done)

    def reach(self, address, done):
        # type: (str, Callable[[Any, str], None]) -> None
        """Ask the program for one to the HTTP server of the worker at an address. The event loop's thread."""
        self.ask('reach', address, done)

    def ask(self, kind, whom, done):
        # type: (str, str, Callable[[Any, str], None]) -> None
        self.count += 1
        self.dials[self.count] = done
        try:
            self.control.send((kind, self.count, whom))
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
            self.dials.pop(which)(pair(value), '')
        elif kind == 'none':
            self.dials.pop(which)(None, value)
        elif kind == 'accept':
            accept(which, pair(value))
        elif kind == 'pages':
            end = pair(value)
            try:
                self.loop.call_soon_threadsafe(self.show, end)
            except RuntimeError:
                # The loop has ended.
                end.close()
        else:
            join(connected(self.server), value)

    def show(self, end):
        # type: (Any) -> None
        """Hand a connection to the HTTP server, which may listen at no address that others reach."""
        end.setblocking(False)
        self.server.http_server.handle_stream(loaded('tornado.iostream').IOStream(end), ('127.0.0.1', 0))


def check_files(named):
    # type: (list[tuple[str, Any]]) -> None
    """Raise FileNotFoundError for the first that is the path of no file here; what has lines is the content of one."""
    import os.path
    for name, value in named:
        if value and '\n' not in value and not os.path.isfile(value):
            remedy = 'copy the file to the host'
            if not name.startswith(PAGES_TLS):
                remedy += ', or give its content in place of its path'
            raise loaded('builtins').FileNotFoundError(
                '%s is a path, and this host has no file there: %s' % (name, remedy))


def connected(server):
    # type: (Any) -> Any
    """Return a socket that is connected to the HTTP server of a server; a closed one if it does not listen."""
    try:
        # If this is the word for all addresses, the kernel takes it for one of this machine.
        address = loaded('distributed.comm.utils').get_tcp_server_address(server.http_server)[:2]
        return loaded('socket').create_connection(address)
    except Exception:
        # Read from it, and it has ended.
        end = socket.socket()
        end.close()
        return end
