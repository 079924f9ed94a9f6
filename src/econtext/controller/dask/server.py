"""
One server of a cluster, a worker or the scheduler, in a context of its own.

The strategy: the context is started from that of the host, so that the host is connected once, and is there to clean
up behind a server that was killed.  In it runs one call, ``dask.serve``, as long as the server does.  The call loads
distributed, which takes most of a start, then waits for the word to begin: so workers load while the scheduler starts.

Invariants:

* A host with another minor version of Python, or without this version of distributed, is refused with an error that
  says so: what Dask sends holds code, which crashes other Pythons.
* After `stop` the context of the server has ended, and its folder is gone if the host is still there.
* `ended` is told once, whatever a server that had started ended by.

`start` and `stop` wait, and are called by threads that may; knows nothing of distributed.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from econtext.child import dashboards, dask
from econtext.controller.errors import CallTimeout, ContextLost, EcontextError
from econtext.controller.text import harmless
from econtext.controller.tree import Tree

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.dask.hub import Hub
    from econtext.controller.session.channels import Channel

# Modules that an import of distributed looks for, found or not: what it needs, what it uses if there, of other systems.
SOUGHT = (
    '_winapi bokeh cityhash click cloudpickle colorama crick cytoolz dask distributed distributed_ucxx gilknocker '
    'importlib_metadata jinja2 lazy_importer locket lz4 markupsafe mmh3 msgpack msvcrt nt numpy org packaging pandas '
    'prometheus_client psutil pyarrow pynvml rmm setproctitle snappy sortedcontainers tblib tlz toolz tornado winreg '
    'xxhash yaml zict zipp zstandard'
).split()
GRACE = 5.0     # seconds that a server has to end by itself, and a host to clean up


class Site(NamedTuple):
    """Where a server can run."""

    name: str
    #: Returns the context of the host, connected.
    context: Callable[[], Context]


class Order(NamedTuple):
    """What is to be started."""

    kind: str
    options: dict[str, Any]
    #: Of the connector `local`, by which the context of the server is started.
    context_options: Mapping[str, Any]
    #: The version of distributed that the program has.
    version: str
    timeout: float


class Server:
    """One server, from its start to its end."""

    def __init__(self, hub: Hub, site: Site, name: str, order: Order) -> None:
        self.hub = hub
        self.site = site
        self.name = name
        self.order = order
        self.place: str = hub.place(site.name)
        self.host: Context | None = None
        self.context: Context | None = None
        self.control: Channel[Any] | None = None
        self.call: concurrent.futures.Future[None] | None = None
        self.folder: str = ''
        self.stopped: bool = False
        #: The address of the scheduler, for a worker.
        self.scheduler: str | None = None
        #: What prepare() has come to, where a thread does it beforehand.
        self.prepared: concurrent.futures.Future[None] | None = None

    def start(self, ended: Callable[[BaseException | None], None]) -> str:
        """Start the server, and return its address; ``ended(error)`` is called once it has ended."""
        try:
            address = self.begin()
        except BaseException:
            self.stop()
            raise
        assert self.call is not None
        self.call.add_done_callback(lambda call: ended(failure_of(call)))
        return address

    def prepare(self) -> None:
        """Start the context, and have it load distributed."""
        try:
            self.load()
        except BaseException:
            self.stop()
            raise

    def load(self) -> None:
        self.host = self.site.context()
        if self.stopped:
            raise ContextLost(f'{self.name}: the cluster was closed')
        self.context = self.host.local(**{'name': self.name, **self.order.context_options})
        if self.stopped:
            # stop() may have come before there was a context; prepare() calls it again.
            raise ContextLost(f'{self.name}: the cluster was closed')
        self.control = self.context.channel()
        words = self.order.options, self.place, self.order.version, foretold(self.context)
        if self.order.kind == 'Scheduler':
            self.call = self.context.submit(dashboards.serve, self.control, *words)
        else:
            self.call = self.context.submit(dask.serve, self.control, self.order.kind, *words)
        try:
            word = self.control.get(self.order.timeout)
        except (EOFError, TimeoutError) as error:
            raise self.why(error) from None
        self.check(*word[1:])

    def begin(self) -> str:
        if self.prepared is None:
            self.prepare()
        else:
            self.prepared.result()
        assert self.control is not None
        assert self.context is not None
        assert self.call is not None
        ready: concurrent.futures.Future[str] = concurrent.futures.Future()
        self.hub.join(self.place, self.context, self.control, ready.set_result)
        with contextlib.suppress(EcontextError):
            # If its context is lost, its call tells.
            self.control.send(('begin', 0, self.scheduler))
        either: list[concurrent.futures.Future[Any]] = [ready, self.call]
        concurrent.futures.wait(either, self.order.timeout, concurrent.futures.FIRST_COMPLETED)
        if not ready.done():
            raise self.why(TimeoutError())
        return ready.result()

    def why(self, error: Exception) -> BaseException:
        """Return why the server did not start."""
        assert self.call is not None
        if isinstance(error, EOFError):
            concurrent.futures.wait([self.call], GRACE)
        if not self.call.done():
            return CallTimeout(
                f'{self.name}: the {self.order.kind.lower()} did not start within {self.order.timeout:g} s: '
                'give start_timeout= a larger number, or see what the host is busy with')
        return failure_of(self.call) or EcontextError(f'{self.name}: the {self.order.kind.lower()} ended at once')

    def check(self, version: str, python: tuple[int, ...], executable: str, folder: str) -> None:
        """Raise EcontextError if Dask there and here do not fit."""
        self.folder = folder
        version, executable = harmless(str(version)), harmless(str(executable))
        mine = sys.version_info[:2]
        if python[:2] != mine:
            raise EcontextError(
                f'{self.name}: the host runs {executable}, Python {python[0]}.{python[1]}, and this program Python '
                f'{mine[0]}.{mine[1]}: Dask sends code, which needs the same version; name such a Python with python=')
        if not version:
            raise EcontextError(
                f'{self.name}: distributed is not installed for {executable}: run there '
                f'`{executable} -m pip install distributed=={self.order.version}`, or name another Python with python=')
        if version != self.order.version:
            raise EcontextError(
                f'{self.name}: {executable} has distributed {version}, and this program {self.order.version}: '
                'install the same version on both')

    def give_up(self) -> None:
        """Have the server end, without waiting for that; stop() is to follow."""
        self.stopped = True
        self.hub.leave(self.place)
        if self.control is not None:
            self.control.close()

    def stop(self) -> None:
        """End the server and its context; raises nothing."""
        self.give_up()
        if self.call is not None:
            concurrent.futures.wait([self.call], GRACE)
        if self.context is not None:
            self.context.close()
        if self.folder and self.host is not None and (self.call is None or failure_of(self.call) is not None):
            # What has ended well has removed it.
            with contextlib.suppress(Exception):
                self.host.options(timeout=GRACE).call(dask.clear, self.folder)


def foretold(context: Context) -> tuple[list[str], list[str]]:
    """
    Return what the program would answer to a context that asks for the modules sought, see ``dask.spare_questions``.

    Names of the program's own modules are not among these, nor is any where other programs have a say.
    """
    theirs: list[str] = []
    absent: list[str] = []
    broker = context._node.broker
    if isinstance(broker, Tree) and broker.attach_server is None:
        for name in SOUGHT:
            if broker.modules.answer(name, True)[0][1] is None:
                (absent if broker.modules.find(name) is None else theirs).append(name)
    return theirs, absent


def failure_of(call: concurrent.futures.Future[Any]) -> BaseException | None:
    """Return what a call has failed by, None if it has not."""
    if not call.done():
        return None
    return concurrent.futures.CancelledError() if call.cancelled() else call.exception()
