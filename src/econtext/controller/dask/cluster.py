"""
A cluster of Dask whose servers are contexts.

The strategy: ``SpecCluster`` of distributed decides which workers there are to be; here each is a ``Process``, whose
place is given when it is named: the hosts in turn.  The hub carries connections, unless the protocol is another one.

Invariants:

* A worker that is lost is started again for as long as the cluster wants it, each time after a longer wait while it
  does not stay.
* With the scheduler all workers end, and none is started again.
* There are never more workers than places: more is refused when it is asked for.
* A worker gets the certificate and the key of workers, not those of the scheduler.
* What the cluster has started ends with it, or with the link to this program; contexts that it was given do not.

The public methods are those of distributed, for the thread of the program or, asynchronously, the event loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import itertools
import logging
import math
import time
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from econtext.child import dashboards, dask
from econtext.child.labels import seen
from econtext.controller.broker import Broker
from econtext.controller.context import Context
from econtext.controller.dask.bases import Cluster as AnyCluster
from econtext.controller.dask.bases import SpecCluster, Status, configuration, distributed, parse_bytes
from econtext.controller.dask.dashboard import Dashboard
from econtext.controller.dask.hub import Hub, dial
from econtext.controller.dask.processes import Process
from econtext.controller.dask.server import GRACE, Order, Server, Site
from econtext.controller.fleet.fleet import Fleet
from econtext.controller.runtime.deadlines import is_seconds
from econtext.controller.runtime.log import say

if TYPE_CHECKING:
    from econtext.controller.fleet.requests import Connector
    from econtext.controller.fleet.sources import Hosts

log: logging.Logger = logging.getLogger('econtext.dask')

FIRST_WAIT = 0.5    # seconds before a lost worker is started again; twice as many each time
LONGEST_WAIT = 60.0
STAYS = 30.0        # seconds after which a worker counts as one that stays
STARTS = 64         # servers that start, or stop, at a time
START_TIMEOUT = 60.0
PAGES = '127.0.0.1:0'   # where a worker has its pages, unless it is told another address
# The names of a Security that concern all servers; each kind has a certificate and a key of its own.
SECRETS = 'require_encryption', 'tls_ca_file', 'tls_ciphers', 'tls_min_version', 'tls_max_version'


class Cluster(SpecCluster):
    """
    A Dask cluster whose workers are contexts: a ``SpecCluster`` of distributed.

    `hosts` is a Fleet, a list of Contexts, or hosts as Broker.fleet() takes them; then `connector` and `options` are
    those of a fleet that the cluster makes and ends.  Each worker is a context of its own, started from that of its
    host, whose Python needs the same minor version and the same version of distributed as this program's.

    `workers` is how many to start, one for each place unless given; `workers_per_host` how many places a host has.
    `nthreads` and `memory_limit` are those of each worker, unless given its share of what its host has: of the memory
    as much as it has threads for each processor, and no more than is there for all.
    `scheduler` is None for this program, a name among the `hosts`, or a Context.

    `protocol` is ``'econtext'``: all connections go through the links of econtext, no process listens at a port, and
    hosts need not reach each other.  With ``'tcp'`` or ``'tls'`` they connect directly, at ports that anybody can use
    who reaches them, unless `security`, a Security of distributed or True for a temporary one, keeps others out.

    `worker_options` and `scheduler_options` go to the Worker and Scheduler of distributed, `context_options` to the
    connector ``local`` that starts the contexts of workers.  `start_timeout` is how many seconds a server may take to
    start.  `silence_logs` is the level below which distributed shows nothing of its scheduler here.  `asynchronous`,
    `loop`, `name` and `shutdown_on_close` are as for SpecCluster.

    A worker that is lost is started again.  Of what it prints and logs each line is a record, as of any context.

    Raises TypeError or ValueError for what makes no sense, EcontextError for a host without a Python that fits,
    ConnectError for one that cannot be connected, ImportError where distributed is missing.

    Example::

        with econtext.Broker() as broker:
            fleet = broker.fleet(['web1', 'web2'], python='/opt/analysis/bin/python')
            with econtext.dask.Cluster(fleet) as cluster, distributed.Client(cluster) as client:
                print(client.submit(sum, client.map(len, ['a', 'bb'])).result())
    """

    def __init__(
        self, hosts: Fleet | Sequence[Context] | Hosts, *, workers: int | None = None, workers_per_host: int = 1,
        nthreads: int | None = None, memory_limit: str | int | float | None = 'auto',
        scheduler: str | Context | None = None, protocol: str = dask.SCHEME, security: Any = None,
        worker_options: Mapping[str, Any] | None = None, scheduler_options: Mapping[str, Any] | None = None,
        context_options: Mapping[str, Any] | None = None, start_timeout: float = START_TIMEOUT,
        connector: Connector = 'ssh', asynchronous: bool = False, loop: Any = None, name: str | None = None,
        shutdown_on_close: bool = True, silence_logs: int | bool = logging.WARNING, **options: Any,
    ) -> None:
        check_count('workers_per_host', workers_per_host, 1)
        if workers is not None:
            check_count('workers', workers, 0)
        if not is_seconds(start_timeout):
            raise ValueError(f'start_timeout= must be a number of seconds, not {seen(start_timeout)}')
        if protocol not in (dask.SCHEME, 'tcp', 'tls'):
            raise ValueError(f"protocol= must be 'econtext', 'tcp' or 'tls', not {seen(protocol)}")
        if security is True:
            security = distributed.Security.temporary()
        self._broker: Broker | None = None
        self._dashboard: Dashboard | None = None
        self._hub: Hub = Hub()
        self._running = False
        #: Workers that load distributed while the scheduler starts, by name.
        self._prepared: dict[str, Server] = {}
        #: The contexts of the first attempt.
        self._connecting: dict[str, concurrent.futures.Future[Context]] = {}
        self._threads: concurrent.futures.ThreadPoolExecutor = concurrent.futures.ThreadPoolExecutor(
            STARTS, 'econtext dask')
        try:
            self._hosts: dict[str, Site] = self._sites(hosts, connector, options)
            # The second of a host is called as econtext calls a second context of one name.
            names = [f'{host}#{slot + 1}' if slot else host for slot in range(workers_per_host) for host in self._hosts]
            #: The places of workers: which host each has.
            self._places: dict[str, Site] = dict(zip(names, itertools.cycle(self._hosts.values()), strict=False))
            wanted = len(names) if workers is None else workers
            self._check_room(wanted)
            self._scheduler_site = self._site_of(scheduler)
            self._protocol = protocol
            self._server_security = security
            self._worker_options: dict[str, Any] = {
                'nthreads': nthreads, 'memory_limit': memory_limit, 'share': workers_per_host, 'dashboard': False,
                'dashboard_address': PAGES, **(worker_options or {})}
            self._context_options: dict[str, Any] = dict(context_options or {})
            self._start_timeout = start_timeout
            #: How often each worker was started again, and when it was last.
            self._attempts: dict[str, tuple[int, float]] = {}
            self._renewals: set[asyncio.Task[None]] = set()
            self._lost_scheduler: bool = False
            dask.register(dial)
            self._prepare(names[:wanted])
            super().__init__(
                {name: self._worker_spec(name) for name in names[:wanted]},
                self._scheduler_spec(scheduler_options or {}, security), self._worker_spec(None),
                asynchronous=asynchronous, loop=loop, security=security, name=name, shutdown_on_close=shutdown_on_close,
                silence_logs=silence_logs)
        except BaseException:
            self._let_go()
            raise
        # Asynchronously, and in the thread of an event loop, nothing has started: see __await__.
        if self.status is Status.running:
            self._begun()

    # Where servers run.

    def _sites(self, hosts: Any, connector: Connector, options: dict[str, Any]) -> dict[str, Site]:
        """Return the hosts by name."""
        given = isinstance(hosts, (list, tuple)) and any(isinstance(host, Context) for host in hosts)
        if (given or isinstance(hosts, Fleet)) and (options or connector != 'ssh'):
            raise TypeError('the options of connectors are for hosts by name: a fleet and contexts have theirs')
        if given:
            found: dict[str, Site] = {}
            for context in hosts:
                if not isinstance(context, Context):
                    raise TypeError(f'hosts are either all contexts or all names: {seen(context)} is no context')
                if context.name in found:
                    raise ValueError(f'two contexts are called {context.name}: give each host once')
                found[context.name] = site(context)
        else:
            if not isinstance(hosts, Fleet):
                self._broker = Broker()
                hosts = self._broker.fleet(hosts, connector=connector, **options)
            found = {name: Site(name, functools.partial(hosts.context, name)) for name in hosts}
        if not found:
            raise ValueError('a cluster needs a host')
        return found

    def _server(self, host: Site, name: str, order: Order) -> Server:
        return Server(self._hub, Site(host.name, functools.partial(self._context_of, host)), name, order)

    def _context_of(self, host: Site) -> Context:
        """Return the context of a host: until all have started that of the first attempt, or raise why it failed."""
        first = None if self._running else self._connecting.get(host.name)
        return host.context() if first is None else first.result()

    def _prepare(self, names: Sequence[str]) -> None:
        """Begin to connect the hosts of these workers, and to load distributed there, while the scheduler starts."""
        for host in {self._places[name].name for name in names}:
            self._connecting[host] = self._threads.submit(self._hosts[host].context)
        # Behind these, as each waits for one of them.
        for name in names:
            server = self._prepared[name] = self._new_worker(name)
            server.prepared = self._threads.submit(server.prepare)

    def _begun(self) -> None:
        """The cluster has started: end the workers that were prepared and are wanted no more."""
        self._running = True
        for name in list(self._prepared):
            self._threads.submit(self._prepared.pop(name).stop)

    def _site_of(self, scheduler: str | Context | None) -> Site | None:
        if scheduler is None:
            return None
        if isinstance(scheduler, Context):
            return site(scheduler)
        if scheduler not in self._hosts:
            raise ValueError(f'scheduler= must be a context or one of the hosts, not {seen(scheduler)}')
        return self._hosts[scheduler]

    # What is to be started.

    def _scheduler_spec(self, options: Mapping[str, Any], security: Any) -> dict[str, Any]:
        """Return what the scheduler is started by."""
        options = {'dashboard_address': '127.0.0.1:8787', **options}
        self._dashboard_address = str(options['dashboard_address'])
        self._http_prefix: str | None = options.get('http_prefix')
        if self._scheduler_site is None:
            if self._protocol == dask.SCHEME:
                options = {'host': self._hub.place('127.0.0.1'), 'port': 0, **options}
            return {'cls': distributed.Scheduler, 'options': {
                'protocol': self._protocol, 'security': security, **options}}
        order = Order(
            'Scheduler', self._with_security('scheduler', options), {}, distributed.__version__, self._start_timeout)
        make = functools.partial(self._make_scheduler, self._scheduler_site, order)
        return {'cls': Process, 'options': {
            'make': make, 'threads': self._threads, 'lost': self._scheduler_lost, 'closed': lambda _: None,
            'at_once': lambda: False}}

    def _make_scheduler(self, site: Site, order: Order, _: str | None) -> Server:
        return self._server(site, f'{site.name}.scheduler', order)

    def _with_security(self, kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
        made = {'protocol': self._protocol, 'config': plain(configuration.config), **options}
        if self._server_security:
            names = (*SECRETS, f'tls_{kind}_cert', f'tls_{kind}_key')
            found = {name: getattr(self._server_security, name, None) for name in names}
            made['security'] = {name: value for name, value in found.items() if value is not None}
        return made

    def _worker_spec(self, name: str | None) -> dict[str, Any]:
        """Return what worker `name` is started by; without one what is known of all."""
        options = {
            'make': functools.partial(self._make_worker, name or ''), 'threads': self._threads, 'lost': self._lost,
            'closed': self._closed, 'at_once': lambda: self._running}
        known = {key: self._worker_options[key] for key in ('nthreads', 'memory_limit')}
        known = {key: value for key, value in known.items() if value not in (None, 'auto', 0)}
        return {'cls': Process, 'options': {**options, **known}}

    def _make_worker(self, name: str, scheduler: str | None) -> Server:
        server = self._prepared.pop(name, None) or self._new_worker(name)
        server.scheduler = scheduler
        return server

    def _new_worker(self, name: str) -> Server:
        place = self._places[name]
        options = self._with_security('worker', {'name': name, **self._worker_options})
        if options['dashboard_address'] == PAGES:
            # Nobody reaches its pages but through the links: the host needs no certificate for them.
            without = dict.fromkeys(dask.FILES)
            configuration.update(options['config'], {'distributed': {'scheduler': {'dashboard': {'tls': without}}}})
        order = Order('Worker', options, self._context_options, distributed.__version__, self._start_timeout)
        return self._server(place, f'{name}.dask', order)

    # Which workers there are to be.

    def _check_room(self, count: float) -> None:
        if count > len(self._places):
            raise ValueError(
                f'{count} workers are wanted, and there are places for {len(self._places)}: give more hosts, '
                'or a larger workers_per_host=')

    def new_worker_spec(self) -> dict[str, Any]:
        """Return the name of a place that is free, and what its worker is started by; distributed calls this."""
        self._check_room(len(self.worker_spec) + 1)
        name = next(name for name in self._places if name not in self.worker_spec)
        return {name: self._worker_spec(name)}

    def _threads_per_worker(self) -> int:
        threads: int | None = self._worker_options['nthreads']
        if not threads:
            raise ValueError('to count cores a cluster needs nthreads=, the threads of each worker')
        return threads

    def scale(self, n: int = 0, memory: Any = None, cores: Any = None) -> Any:
        """
        Have `n` workers, or as many as have `memory` or `cores` together, in the places that the hosts have.

        Returns at once; workers that are too many hand on what they hold, and end.  Raises ValueError for more than
        there are places, or if `nthreads` or `memory_limit` of a worker are not known.

        Example::

            cluster.scale(2)
        """
        if memory is not None:
            n = max(n, math.ceil(parse_bytes(memory) / self._memory_per_worker()))
        if cores is not None:
            n = max(n, math.ceil(cores / self._threads_per_worker()))
        self._check_room(n)
        return super().scale(n)

    def adapt(self, *, maximum: float = math.inf, **options: Any) -> Any:
        """
        Have as many workers as there is work for, up to `maximum` and to the places that the hosts have.

        `options` are those of SpecCluster.adapt(), such as `minimum` and `interval`.  Returns its Adaptive; raises
        ValueError for options that make no sense.

        Example::

            cluster.adapt(minimum=1, maximum=8)
        """
        return super().adapt(maximum=min(maximum, len(self._places)), **options)

    # Workers that end.

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # The link tells sooner, and for certain, that a worker is lost: the base would end its successor.
        AnyCluster._update_worker_status(self, op, msg)
        if op == 'remove':
            # One that somebody has closed is started again by scale() or by await, as by the base.
            for name, process in list(self.workers.items()):
                if process.status in (Status.closing, Status.closed):
                    del self.workers[name]

    def _closed(self, process: Process) -> None:
        """A worker was closed, maybe before the scheduler knew of it: it counts no more. The event loop."""
        if self.workers.get(process.name) is process:
            del self.workers[process.name]

    def _scheduler_lost(self, process: Process, error: BaseException | None) -> None:
        say(log, logging.ERROR, 'the scheduler of the cluster has ended, and its workers end too: %s: start another '
            'cluster', error or 'it was closed')
        self._lost_scheduler = True
        # Else the end of the cluster would connect to it, for as long as connections may take.
        self.shutdown_scheduler = False
        task = asyncio.ensure_future(self._end_all(process))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _end_all(self, scheduler: Process) -> None:
        """End all workers: nobody has work for them any more."""
        async with self._lock:
            servers = [scheduler, *self.workers.values()]
        await asyncio.gather(*(server.close() for server in servers), return_exceptions=True)

    def _lost(self, process: Process, error: BaseException | None) -> None:
        """A worker has ended, or did not start again. The event loop."""
        name = str(process.name)
        if self.status not in (Status.starting, Status.running) or name not in self.worker_spec or self._lost_scheduler:
            return
        count, last = self._attempts.get(name, (0, 0.0))
        if time.monotonic() - last > STAYS + wait_before(count):
            count = 0
        wait = wait_before(count)
        self._attempts[name] = count + 1, time.monotonic()
        if error is not None:
            say(log, logging.WARNING, '%s: the worker is lost, and started again in %g s: %s', name, wait, error)
        task = asyncio.ensure_future(self._renew(process, wait))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _renew(self, process: Process, wait: float) -> None:
        """Start another worker in the place of `process`."""
        await asyncio.sleep(wait)
        async with self._lock:
            # Whoever starts others has named them by now.
            if self.workers.get(process.name) is process:
                del self.workers[process.name]
        await process.close()
        if self.status is Status.running:
            await self._correct_state()

    # Start and end.

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            made = yield from super().__await__()
        except BaseException:
            if not self._running:
                yield from self._close().__await__()
            raise
        self._begun()
        return made

    async def _start(self) -> None:
        await super()._start()
        if self._scheduler_site is None:
            dashboards.install(self.scheduler, self._http_prefix, self._hub.reach)
        elif 'dashboard' in (self.scheduler_info.get('services') or {}):
            self._dashboard = Dashboard(self._hub, self.scheduler.server.place)
            self._dashboard.begin()

    @property
    def dashboard_link(self) -> str:
        """The address of the dashboard, at a port of this machine where the scheduler is on a host."""
        host, port = '127.0.0.1', (self.scheduler_info.get('services') or {}).get('dashboard')
        if self._dashboard is not None:
            port = self._dashboard.port
        elif self._dashboard_address.rpartition(':')[0]:
            host = self._dashboard_address.rpartition(':')[0]
        return str(distributed.utils.format_dashboard_link(host, port)) if port else ''

    async def _close(self) -> None:
        try:
            for task in list(self._renewals):
                task.cancel()
            await super()._close()
        finally:
            await asyncio.get_running_loop().run_in_executor(None, self._let_go)

    def _let_go(self) -> None:
        """End all that is the cluster's own. May be called again."""
        if self._dashboard is not None:
            self._dashboard.close()
        prepared = [self._prepared.pop(name) for name in list(self._prepared)]
        for server in prepared:
            # First, as those that load have the threads.
            server.give_up()
        concurrent.futures.wait([self._threads.submit(server.stop) for server in prepared], GRACE)
        self._hub.close()
        self._threads.shutdown(wait=False)
        if self._broker is not None:
            self._broker.close()


def site(context: Context) -> Site:
    """Return the host that `context` is."""
    return Site(context.name, context.wait_ready)


def plain(value: Any) -> Any:
    """Return what of a configuration are plain values."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def check_count(option: str, count: int, least: int) -> None:
    """Raise ValueError for what is no number of workers."""
    if type(count) is not int or count < least:
        raise ValueError(f'{option}= must be a number of workers, {least} or more, not {seen(count)}')


def wait_before(count: int) -> float:
    """Return how many seconds to wait before attempt `count` to start a lost worker again."""
    return float(min(FIRST_WAIT * 2 ** min(count, 20), LONGEST_WAIT))
