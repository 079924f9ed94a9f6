"""
The pages of workers behind those of a scheduler of Dask: ``/proxy/PORT/HOST/...``, to which the scheduler's pages link.

The strategy: distributed's own handler connects to HOST, which the scheduler need not reach, and needs the package
jupyter-server-proxy.  A handler of ours stands before it.  It asks for a connection to the HTTP server of the worker,
writes the request, and then carries bytes as they are: so websockets pass, and answers of any length.

Invariants:

* Only the HTTP server of a worker that the scheduler has is reached: HOST and PORT of a request name the worker, and
  nothing connects there.
* Of the request the worker gets all but the prefix, and what concerns the connection of the browser alone.
* What one side has written is passed on before its end; the end of one side ends the other.
* No side is read faster than the other takes it.
* Where the configuration of Dask leaves out distributed's handler, there is none of ours.

Sent with the first call of ``serve``; the program has it for a scheduler of its own.  The thread of the scheduler's
event loop enters.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Done = Callable[[Any, str], None]

from econtext.child.dask import connection, loaded
from econtext.child.dask import serve as serve_any

CHUNK = 1 << 16     # bytes that are read at a time
# Of what distributed serves, in its configuration.
ROUTES, THEIRS = 'distributed.scheduler.http.routes', 'distributed.http.proxy'
# Headers that concern one connection, or that Tornado has carried out.
HOP = ('connection', 'content-length', 'expect', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding',
       'upgrade')


def serve(control, options, place, expected, foretold):
    # type: (Any, dict[str, Any], str, str, Any) -> None
    """Be a scheduler, as ``dask.serve`` says."""
    serve_any(control, 'Scheduler', options, place, expected, foretold, install)


def install(scheduler, prefix, reach):
    # type: (Any, str | None, Callable[[str, Done], None]) -> None
    """
    Have a scheduler serve the pages of its workers, below `prefix`.

    ``reach(address, done)`` begins a connection to the HTTP server of the worker at `address`; ``done(socket, '')`` or
    ``done(None, why)`` says, in any thread, what came of it.
    """
    if THEIRS not in loaded('dask.config').get(ROUTES):
        return
    web, stream = loaded('tornado.web'), loaded('tornado.iostream').IOStream
    handler = web.RequestHandler    # type: Any
    start = '/'.join(['', (prefix or '').strip('/'), 'proxy/']).replace('//', '/')

    class Pages(handler):  # type: ignore[misc]
        def proxied(self, port, host):
            # type: (str, str) -> Any
            address = address_of(scheduler.workers.values(), port, host)
            if address is None:
                raise web.HTTPError(404, reason='No such worker')
            return connection(
                lambda done: reach(address, done), self.hand_on,
                lambda why: web.HTTPError(502, '%s', why, reason='Worker not reached'))

        def hand_on(self, end):
            # type: (Any) -> None
            request = self.request
            end.setblocking(False)
            there, here = stream(end), self.detach()
            path = '/' + request.uri[len(start):].split('/', 2)[2]
            there.write(request_of(request.method, path, request.version, request.headers.get_all(), request.body))
            carry(here, there)
            carry(there, here)

        get = head = post = put = patch = delete = options = proxied

    scheduler.http_application.add_handlers('.*', [(loaded('re').escape(start) + r'(\d+)/([^/]+)/.*', Pages)])


def address_of(workers, port, host):
    # type: (Iterable[Any], str, str) -> str | None
    """Return the address of the worker whose pages are at a port of a host; None if it is not one worker alone."""
    found = [worker.address for worker in workers
             if worker.host == host and str(worker.services.get('dashboard', '')) == port]  # type: list[str]
    if len(found) != 1:
        return None
    return found[0]


def request_of(method, path, version, headers, body):
    # type: (str, str, str, Iterable[tuple[str, str]], bytes) -> bytes
    """Return the bytes of a request after which the connection ends, or becomes one of another protocol."""
    headers = list(headers)
    # A header may come more than once.
    named = {}  # type: dict[str, str]
    for name, value in headers:
        named[name.lower()] = value
    dropped = HOP + tuple([name.strip().lower() for name in named.get('connection', '').split(',')])
    lines = ['%s %s %s' % (method, path, version)]
    lines.extend(['%s: %s' % (name, value) for name, value in headers if name.lower() not in dropped])
    if 'upgrade' in named:
        lines.extend(['Connection: Upgrade', 'Upgrade: ' + named['upgrade']])
    else:
        lines.append('Connection: close')
    if body or 'content-length' in named:
        lines.append('Content-Length: %d' % len(body))
    # As Tornado has decoded it.
    return '\r\n'.join(lines + ['', '']).encode('latin-1') + body


def carry(source, target):
    # type: (Any, Any) -> None
    """Write to stream `target` what comes from stream `source`, until either ends; return at once."""

    def read(written):
        # type: (Any) -> None
        step(written, lambda _: source.read_bytes(CHUNK, partial=True), write)

    def write(came):
        # type: (Any) -> None
        step(came, target.write, read)

    def step(done, begin, then):
        # type: (Any, Callable[[Any], Any], Callable[[Any], None]) -> None
        try:
            begin(done and done.result()).add_done_callback(then)
        except Exception:
            # Either has ended. All that came was written: the next is read behind that.
            source.close()
            target.close()

    read(None)
