"""
A fleet, as the program sees it.

The strategy: a fleet is a list of members and the options of work on them, and never changes; what
changes stands in the pool of members, which all fleets that come of one share.  So slices, sets and
options cost nothing, and a host is connected once for all of them.

Invariants:

* No host holds up another; no thread is kept for a host, but while a file goes to it or a function of the
  application connects it.
* Ctrl-C, or an error in the block of a fleet, ends what runs there: whoever waits begins the work inside of what
  interrupts it, and signals are let through only where they wait.
* A fleet that is left has ended its contexts, whatever the wait for its work was left by.

Any thread may enter.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from econtext.child.labels import seen
from econtext.controller import notebook
from econtext.controller.connect.connectors import Connectors
from econtext.controller.errors import stays
from econtext.controller.fleet.executor import FleetExecutor
from econtext.controller.fleet.fanout import FanOut
from econtext.controller.fleet.futures import Futures
from econtext.controller.fleet.hosts import Host
from econtext.controller.fleet.members import Member, Pool, end_all
from econtext.controller.fleet.options import WorkOptions
from econtext.controller.fleet.progress import Wanted, check_wanted, display_of
from econtext.controller.fleet.relays import members
from econtext.controller.fleet.requests import below, check, request_for
from econtext.controller.fleet.schedule import Amount, Schedule, check_amount
from econtext.controller.fleet.streams import FleetStream
from econtext.controller.fleet.work import FleetWork, carry_out
from econtext.controller.runtime.deadlines import is_seconds
from econtext.controller.runtime.signals import interruptible
from econtext.controller.session.calls import check_isolation
from econtext.controller.text import counted

if TYPE_CHECKING:
    from econtext.controller.connect.options import ConnectRequest
    from econtext.controller.context import Context
    from econtext.controller.fleet.fanout import Operation
    from econtext.controller.fleet.relays import Relays
    from econtext.controller.fleet.requests import Connector
    from econtext.controller.fleet.results import Results

P = ParamSpec('P')
T = TypeVar('T')
A = TypeVar('A')


class Fleet(Connectors['Fleet'], FleetWork, Sequence[str]):
    """
    Many hosts, on which the same is done.

    Made by ``broker.fleet()``.  What a context starts, a fleet starts on each: ``fleet.sudo()`` is a
    fleet again.  It is a sequence of the names of its hosts; ``fleet[:10]``, ``fleet['web*']`` and
    ``fleet['@group']`` are fleets of some of them, as are ``|``, ``&``, ``-`` and ``^`` with another fleet or
    any names.  Hosts are connected when there is work for them, and connected again when they were
    lost since.  As a context manager it ends its contexts with its block.
    """

    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, pool: Pool, members: Iterable[Member], check_function: Callable[[Any], object],
                 work_options: WorkOptions) -> None:
        self._pool = pool
        self._members = {member.host.name: member for member in members}
        self._names = tuple(self._members)
        self._check_function = check_function
        self._work_options = work_options

    def __repr__(self) -> str:
        return f'<econtext.Fleet of {counted(len(self), "host")}>'

    def _repr_html_(self) -> str:
        rows = [(name, member.word(), ', '.join(member.host.groups)) for name, member in self._members.items()]
        return notebook.table(self.__repr__()[1:-1], ('host', 'state', 'groups'), rows)

    # What it consists of.

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The hosts, each with its options, groups and variables."""
        return tuple(member.host for member in self._members.values())

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice | str) -> Fleet: ...
    def __getitem__(self, index: int | slice | str) -> str | Fleet:
        if isinstance(index, slice):
            return self._of(self._names[index])
        if isinstance(index, str):
            found = self.filter(index)
            if not found:
                raise KeyError(f'no host of the fleet is called {seen(index)}, or matches that')
            return found
        if not isinstance(index, int):
            raise TypeError(
                f'a fleet has hosts by number, slice, name and pattern, not by {seen(index)}: write fleet & names')
        return self._names[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fleet):
            return NotImplemented
        return list(self._members.values()) == list(other._members.values())

    def __hash__(self) -> int:
        return hash(tuple(self._members.values()))

    def filter(self, wanted: str | Callable[[Host], object]) -> Fleet:
        """
        Return the fleet of those hosts that `wanted` selects.

        `wanted` is a pattern of names, a group's as ``'@web'``, or a function that gets each Host and
        tells whether it is wanted.  Raises what that function raises.

        Example::

            fleet.filter('web*').filter(lambda host: host.variables.get('rack') == 7)
        """
        if callable(wanted):
            return self._of([name for name, member in self._members.items() if wanted(member.host)])
        if not isinstance(wanted, str):
            raise TypeError(f'filter() takes a pattern or a function, not {seen(wanted)}')
        if wanted in self._members:
            return self._of([wanted])
        return self._of([name for name, member in self._members.items() if member.host.matches(wanted)])

    def _of(self, names: Iterable[str], more: Mapping[str, Member] | None = None) -> Fleet:
        members = {**(more or {}), **self._members}
        return Fleet(self._pool, [members[name] for name in names], self._check_function, self._work_options)

    def __or__(self, other: Fleet) -> Fleet:
        if not isinstance(other, Fleet):
            return NotImplemented
        if other._pool.origin is not self._pool.origin:
            raise ValueError('two fleets of different brokers cannot be one')
        clash = [name for name in self if other._members.get(name, self._members[name]) is not self._members[name]]
        if clash:
            raise ValueError(f'both fleets have a host called {clash[0]}, and it is not the same context: '
                             'make both from one fleet')
        return self._of([*self, *(name for name in other if name not in self)], other._members)

    def __and__(self, other: Iterable[str]) -> Fleet:
        names = names_of(other)
        return self._of([name for name in self if name in names])

    def __sub__(self, other: Iterable[str]) -> Fleet:
        names = names_of(other)
        return self._of([name for name in self if name not in names])

    def __xor__(self, other: Fleet) -> Fleet:
        if not isinstance(other, Fleet):
            return NotImplemented
        return (self | other) - (self & other)

    def options(
        self, *, timeout: float | None = None, grace: float | None = None, limit: int | None = None,
        batch: Amount | Sequence[Amount] | None = None, stop_after: Amount | None = None,
        progress: Wanted = None, fork: bool | None = None, max_output: int | None = None,
        capture: bool | None = None,
    ) -> Fleet:
        """
        Return the same fleet with these options for what it does; those that are None stay as they are.

        `timeout` is how many seconds the work may take on each host, from when it is sent there;
        then it fails with CallTimeout, and is interrupted as Context.options() says, where `grace`
        is explained.  `limit` is on how many hosts it runs at a time.  `batch` is how many hosts are
        one batch: all of it end before the next one begins.  It is a number, a share such as
        ``'10%'``, or a list of these, whose last holds for the rest.  `stop_after` is a number or share of
        hosts: once as many have failed, it is begun on no other, and these are skipped.

        `progress` shows how many hosts connect, are ready, run, are done and have failed, how many end a second
        and how long the rest will take, while somebody waits for them: True on the standard error, as a bar by
        the package rich on a terminal, as plain lines elsewhere, or in the cell of a notebook; a function by
        being called with each Progress; False nothing.

        With `fork`, call(), submit() and map() make isolated calls, whose results are ForkResults; `max_output` and
        `capture` are those of Context.options().

        Raises ValueError or TypeError for what makes no sense, EcontextError if rich is wanted and missing.

        Example::

            rolling = fleet.options(batch=[1, '10%', '25%'], stop_after='5%', timeout=300)
            rolling.call(deploy, '2.1').raise_for_failures()
        """
        changes: dict[str, Any] = {}
        if timeout is not None:
            changes['timeout'] = timeout
        if grace is not None:
            changes['grace'] = grace
        for option in 'timeout', 'grace':
            if option in changes and not is_seconds(changes[option]):
                raise ValueError(f'{option}= must be a number of seconds, not {seen(changes[option])}')
        if limit is not None:
            check_limit('limit', limit)
            changes['limit'] = limit
        if batch is not None:
            sizes = (batch,) if isinstance(batch, (int, str)) else tuple(batch)
            for size in sizes:
                check_amount('batch', size)
            changes['batch'] = sizes
        if stop_after is not None:
            check_amount('stop_after', stop_after)
            changes['stop_after'] = stop_after
        if progress is not None:
            check_wanted(progress)
            changes['progress'] = progress
        isolation = {'fork': fork, 'max_output': max_output, 'capture': capture}
        changes.update((option, value) for option, value in isolation.items() if value is not None)
        options = replace(self._work_options, **changes)
        check_isolation(options.fork, options.max_output, options.capture)
        return Fleet(self._pool, self._members.values(), self._check_function, options)

    # What each starts.

    def _start(self, request: ConnectRequest) -> Fleet:
        check(request, self._pool.shared)
        members = [
            Member(member.host, functools.partial(start_below, request), member, request.common.get('threads', 1))
            for member in self._members.values()
        ]
        return Fleet(self._pool, members, self._check_function, self._work_options)

    def _prefix(self) -> str:
        return ''

    # Work.

    def _launch(self, operation: Operation, occupies: bool = True, limit: int | None = None) -> Futures[Any]:
        """Begin `operation` on each host, at most on `limit` at a time if the options say no other."""
        options = self._work_options
        schedule = Schedule(
            self._names, limit=options.limit or limit, batch=options.batch, stop_after=options.stop_after)
        work = FanOut(self._pool, list(self._members.values()), operation, schedule, occupies)
        display = display_of(options.progress, schedule.counts)
        work.start()
        return Futures(work.futures, display, options.grace)

    def _calling(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Operation:
        """Return what calls `function` at each; `args` is a list, or a function that returns one for a host."""
        self._check_function(function)
        options = self._work_options.for_calls()

        def operation(context: Context, host: str) -> concurrent.futures.Future[Any]:
            given = args(host) if callable(args) else args
            chosen: Any = context.options
            future: concurrent.futures.Future[Any] = chosen(**options).submit(function, *given, **kwargs)
            return future

        return operation

    @overload
    def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Results[T]: ...
    @overload
    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Results[T]: ...

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Results[Any]:
        """
        Run ``function(*args, **kwargs)`` on each host, and return the Results once all have ended.

        `function`, `args` and `kwargs` are as for Context.call().  What fails on a host, or that it
        cannot be connected, is among the failures of the Results.  Raises TypeError for what cannot
        be called.  Ctrl-C leaves at once, and the functions are interrupted.

        Example::

            results = fleet.call(os.getloadavg)
            for host, load in results.successes.items():
                print(host, load)
        """
        return carry_out(lambda: self._launch(self._calling(function, args, kwargs)))

    @overload
    def submit(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Futures[T]: ...
    @overload
    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Futures[T]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Futures[Any]:
        """
        Begin to run ``function(*args, **kwargs)`` on each host, and return Futures at once.

        `function`, `args` and `kwargs` are as for call().  Raises TypeError for what cannot be called;
        all else is raised by the future of the host.

        Example::

            for host, future in fleet.submit(os.getloadavg).as_completed():
                print(host, future.exception() or future.result())
        """
        return self._launch(self._calling(function, args, kwargs))

    def stream(
        self, function: Callable[P, Iterable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> FleetStream[T]:
        """
        Iterate over what ``function(*args, **kwargs)`` yields on all hosts: (host, value) as values come.

        `function`, `args` and `kwargs` are as for Context.stream().  A host that fails yields its exception
        in place of a value, once, and the others go on.  If you stop reading, the functions wait;
        if you leave the loop or the block of the stream, they are ended.  Raises TypeError
        for what cannot be called.

        Example::

            with fleet.stream(follow, '/var/log/messages') as lines:
                for host, line in lines:
                    print(host, line)
        """
        return FleetStream(self, function, args, kwargs)

    @overload
    def map(
        self, function: Callable[[A], Coroutine[Any, Any, T]], arguments: Mapping[str, A] | Iterable[A]
    ) -> Results[T]: ...
    @overload
    def map(self, function: Callable[[A], T], arguments: Mapping[str, A] | Iterable[A]) -> Results[T]: ...

    def map(self, function: Callable[[Any], Any], arguments: Mapping[str, Any] | Iterable[Any]) -> Results[Any]:
        """
        Run `function` with one argument each: ``function(argument)``; return the Results once all have ended.

        `arguments` are as many as there are hosts, in their order; or a mapping from names of hosts to
        arguments, where those that it does not name are left out.  The rest is as for call().
        Raises ValueError if there are more or fewer, and for names that no host has.

        Example::

            fleet.map(set_hostname, {'web1': 'alpha', 'web2': 'beta'})
        """
        return carry_out(lambda: self._begin_map(function, arguments))

    def _begin_map(
        self, function: Callable[[A], T], arguments: Mapping[str, A] | Iterable[A]
    ) -> Futures[T]:
        """Begin what map() does."""
        if isinstance(arguments, Mapping):
            given: dict[str, Any] = dict(arguments)
            strange = [name for name in given if name not in self]
            if strange:
                raise ValueError(f'map() was given an argument for {seen(strange[0])}, which is no host of the fleet')
        else:
            values = list(arguments)
            if len(values) != len(self):
                raise ValueError(f'map() was given {len(values)} arguments for {len(self)} hosts: give one each')
            given = dict(zip(self, values, strict=True))
        fleet = self & given
        return fleet._launch(fleet._calling(function, lambda host: (given[host],), {}))

    def executor(self, *, retries: int = 0) -> FleetExecutor:
        """
        Return a ``concurrent.futures.Executor``: each piece of work goes to one host, whichever is free.

        Work whose context was lost is begun again, elsewhere if another is free, as often as
        `retries` says; it may then have run twice.  Options that count are `timeout` and `grace`.
        Raises ValueError for another number.

        Example::

            with fleet.executor(retries=2) as executor:
                sizes = list(executor.map(os.path.getsize, paths))
        """
        if type(retries) is not int or retries < 0:
            raise ValueError(f'retries= must be a number of attempts, not {seen(retries)}')
        self._work_options.refuse_fork('executor()')
        return FleetExecutor(
            self._pool, self._members.values(), retries, self._work_options.timeout, self._work_options.grace,
            self._check_function)

    def connect_all(self) -> Results[Context]:
        """
        Connect all hosts, and return the Results: the context of each.

        Nobody need do this: the first work does.  Raises nothing; what could not be connected is
        among the failures.

        Example::

            reachable = fleet & fleet.connect_all().successes
        """
        return carry_out(lambda: self._launch(got, occupies=False))

    def context(self, host: str) -> Context:
        """
        Return the context of the `host` of that name, connected if it was not.

        Raises KeyError for another name, and what kept it from being connected.

        Example::

            web = fleet.context('web1')
        """
        if host not in self._members:
            raise KeyError(f'no host of the fleet is called {seen(host)}')
        one = self._of([host])
        context: Context = carry_out(lambda: one._launch(got, occupies=False))[host]
        return context

    # End.

    def shutdown(self, wait: bool = True) -> None:
        """
        Wait for what was begun here, unless not to `wait`; then end the contexts, and take no more work.

        What executors were given is waited for, too.  Contexts started from these end as well.  Raises nothing.

        Example::

            fleet.shutdown()
        """
        try:
            if wait:
                wait_for_work(self._pool, self._members.values())
        finally:
            # Also if Ctrl-C has left the wait.
            self._end()

    def _end(self) -> None:
        ended: concurrent.futures.Future[list[Context]] = concurrent.futures.Future()
        self._pool.post(
            lambda: ended.set_result(self._pool.close_members(self._members.values())), ended.set_exception)
        end_all(ended_members(ended), wait=True)

    def close(self) -> None:
        """
        End the contexts at once; what runs there fails with ContextLost. Raises nothing.

        Example::

            fleet.close()
        """
        self.shutdown(wait=False)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown(wait=exc_info[0] is None)


def names_of(other: Iterable[str]) -> set[str]:
    """Return the names in `other`, a fleet or any collection of them."""
    if isinstance(other, str):
        raise TypeError('give a list of names, not a text')
    return set(other)


def check_limit(option: str, limit: int) -> None:
    """Raise ValueError for what is no number of hosts."""
    if type(limit) is not int or limit < 1:
        raise ValueError(f'{option}= must be a number of hosts, not {seen(limit)}')


def start_below(request: ConnectRequest, above: Any) -> Context:
    context: Context = above._start(below(request, above))
    return context


def start_from(request: ConnectRequest, origin: Any) -> Context:
    context: Context = origin._start(request)
    return context


def got(context: Context, host: str) -> concurrent.futures.Future[Context]:
    """The work of connect_all(): there is none."""
    done: concurrent.futures.Future[Context] = concurrent.futures.Future()
    done.set_result(context)
    return done


@interruptible
def ended_members(future: concurrent.futures.Future[list[Context]]) -> list[Context]:
    return future.result()


@interruptible
def wait_for_work(pool: Pool, members: Iterable[Member]) -> None:
    """Return once no work is left at `members`, or below."""
    concurrent.futures.wait(pool.left_at(members))


def make(
    origin: Connectors[Context], hosts: Iterable[Host], check_function: Callable[[Any], object], connector: Connector,
    connect_limit: int, connect_retries: int, retry_delay: float, relays: Relays, options: Mapping[str, Any],
    shared: bool = False,
) -> Fleet:
    """
    Return the fleet of `hosts`, connected from `origin`: what ``broker.fleet()`` does.

    `shared` says that contexts of `origin` are shared with other programs.
    """
    check_limit('connect_limit', connect_limit)
    if type(connect_retries) is not int or connect_retries < 0:
        raise ValueError(f'connect_retries= must be a number of attempts, not {seen(connect_retries)}')
    if not is_seconds(retry_delay):
        raise ValueError(f'retry_delay= must be a number of seconds, not {seen(retry_delay)}')
    above = list(relays_of(relays, origin, connector, options, shared))
    pool = Pool(origin, connect_limit, connect_retries, retry_delay, above, shared)
    # The way to a host that is a relay itself is that of the relay.
    direct = {member.host.name for member in above if member.owned}
    members = [
        member_of(host, connector, options, relayed=bool(above) and host.name not in direct, shared=shared)
        for host in hosts]
    pool.relayed.update(member for member in members if member.relayed)
    return Fleet(pool, members, check_function, WorkOptions())


def relays_of(
    relays: Relays, origin: Connectors[Context], connector: Connector, options: Mapping[str, Any], shared: bool,
) -> Iterator[Member]:
    """Yield the members for `relays`, of which hosts are connected as those of the fleet are."""
    if isinstance(relays, Fleet):
        if relays._pool.origin is not origin:
            raise ValueError('relays= is a fleet of another broker')
        for host in relays.hosts:
            start = functools.partial(context_of, relays, host.name)
            yield Member(host, start, slow=True, owned=False)
    elif relays is not None:
        yield from members(relays, origin, lambda host, way: member_of(
            host, way or connector, {} if way else options, f'relay.{host.name}', shared=shared))


def context_of(fleet: Fleet, name: str, _: Any) -> Context:
    return fleet.context(name)


def member_of(
    host: Host, connector: Connector, options: Mapping[str, Any], name: str | None = None, relayed: bool = False,
    shared: bool = False,
) -> Member:
    """Return the member for `host`; raise TypeError or ValueError for options that make no sense."""
    way = host.connector or connector
    if callable(way):
        if options:
            raise TypeError('a function as connector= gives the options itself')
        return Member(host, functools.partial(call_connector, way, host), slow=True, relayed=relayed)
    request = request_for(host, way, {'name': name, **options} if name else options, shared)
    start = functools.partial(start_from, request)
    return Member(host, start, None, request.common.get('threads', 1), relayed=relayed)


def call_connector(connector: Callable[[Any, Host], Context], host: Host, origin: Any) -> Context:
    return connector(origin, host)
