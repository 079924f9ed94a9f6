"""
The methods of a fleet that do on each host what a context does alone: commands and files.

Invariants:

* What a user got wrong is raised before anything is begun on any host.
* Whoever waits for work begins it inside of what interrupts it.

Any thread may enter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, overload

from econtext.controller.commands.options import one_command

if TYPE_CHECKING:
    from subprocess import CompletedProcess
    from typing import BinaryIO

    from econtext.controller.commands.lines import BytesLine, Line
    from econtext.controller.commands.methods import Argv, Env, Input, Word
    from econtext.controller.files.copying import Copied
    from econtext.controller.files.methods import Local, Remote
    from econtext.controller.files.paths import RemotePath
    from econtext.controller.fleet.fanout import Operation
    from econtext.controller.fleet.futures import Futures, HostFuture
    from econtext.controller.fleet.members import Pool
    from econtext.controller.fleet.options import WorkOptions
    from econtext.controller.fleet.results import Results

    class Hosts(Protocol):
        """What these methods need of a fleet."""

        _pool: Pool
        _work_options: WorkOptions

        def __iter__(self) -> Any: ...
        def _launch(
            self, operation: Operation, occupies: bool = True, limit: int | None = None
        ) -> Futures[Any]: ...

T = TypeVar('T')


def carry_out(launch: Callable[[], Futures[T]], meanwhile: Callable[[Futures[T]], object] = bool) -> Results[T]:
    """Begin work and return its results; whoever leaves before that has it interrupted."""
    futures: Futures[T] | None = None
    try:
        futures = launch()
        meanwhile(futures)
        return futures.results()
    except BaseException:
        if futures is not None:
            futures.interrupt()
        raise


class FleetWork:
    """Commands and files on each host."""

    @overload
    def run(
        self: Hosts, argv: Argv, /, *, check: bool = False, capture: bool | None = None, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None, timeout: float | None = None,
        text: Literal[True] = True,
        on_line: Callable[[Line], object] | None = None,
        on_end: Callable[[HostFuture[CompletedProcess[str]]], object] | None = None,
    ) -> Results[CompletedProcess[str]]: ...
    @overload
    def run(
        self: Hosts, argv: Argv, /, *, check: bool = False, capture: bool | None = None, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None, timeout: float | None = None,
        text: Literal[False],
        on_line: Callable[[BytesLine], object] | None = None,
        on_end: Callable[[HostFuture[CompletedProcess[bytes]]], object] | None = None,
    ) -> Results[CompletedProcess[bytes]]: ...

    @one_command
    def run(
        self: Hosts, argv: Argv, /, *, check: bool = False, capture: bool | None = None, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None, timeout: float | None = None,
        text: bool = True,
        on_line: Callable[[Any], object] | None = None,
        on_end: Callable[[Any], object] | None = None,
    ) -> Results[CompletedProcess[Any]]:
        """
        Run a command on each host; return the Results, each a ``subprocess.CompletedProcess``.

        `argv`, `check`, `capture`, `input`, `env`, `extend_env`, `cwd`, `timeout` and `text` are as for
        Context.run().  An `input` that can be read once, a file or an iterable, is read whole before
        anything begins.  `on_line` is called with the lines of all hosts as they come, one at a time, in the
        thread that waits: ``line.host`` is the host, ``line.stream`` is ``'stdout'`` or ``'stderr'``.  Until it
        returns the commands wait where they write.  `on_end` is called in the same thread with the future of each host
        that is over, behind its last line: ``future.host``, ``future.result()``, ``future.exception()``, or
        ``future.cancelled()`` for a host that was skipped.

        What fails on a host is among the failures of the Results: ``subprocess.CalledProcessError`` with `check`,
        OSError for a program that cannot be used there, and so on.  Raises TypeError or ValueError for wrong
        arguments, before anything begins, and what `on_line` and `on_end` raise.  Whatever leaves this, such as Ctrl-C,
        ends the commands there.

        Example::

            results = fleet.run(['git', 'pull'], cwd='/srv/app', check=True)
            for host, done in results.raise_for_failures().items():
                print(host, done.stdout)
        """
        from econtext.controller.commands import running as one_host
        from econtext.controller.fleet import running

        kept = on_line is None if capture is None else capture
        request = one_host.Request(argv, check, kept, running.shared(input), env, extend_env, cwd, timeout, text)
        running.check_callbacks(on_line=on_line, on_end=on_end)
        reader = running.Reader(request, self._work_options, on_line, on_end)
        return carry_out(lambda: self._launch(reader.begin), reader.read_all)

    def put(
        self: Hosts, local: Local | bytes | BinaryIO | RemotePath, remote: Remote, *,
        mode: int | None = None, times: bool = True,
        owner: bool | str | None = None, symlinks: Literal['keep', 'follow', 'skip'] = 'keep',
        compare: Literal['time', 'content', 'always'] | None = None, delete: bool = False, resume: bool = False,
        durable: bool | None = None,
    ) -> Results[Copied]:
        """
        Copy a file or a folder of this program to each host; return the Results, each what was done there.

        `local` and `remote`, and `mode`, `times`, `owner`, `symlinks`, `compare`, `delete`, `resume` and `durable`, are
        as for Context.put().  A file object is read whole before anything begins.  At most 64 hosts are
        copied to at a time, unless ``options(limit=…)`` says otherwise; how far it is shows ``options(progress=…)``.

        What fails on a host is among the failures of the Results.  Raises OSError for a `local` that
        cannot be read, ValueError or TypeError, before anything begins.

        Example::

            fleet.options(progress=True).put('site', '/srv/site', delete=True).raise_for_failures()
        """
        from econtext.controller.files import copying
        from econtext.controller.fleet import transfers

        options = copying.Options(mode, times, owner, symlinks, compare, delete, resume, durable, None)
        source = transfers.source_of(local)
        copying.remote_name(None, remote)
        kind = transfers.Transfers(
            self._pool, self._work_options, lambda host, home: copying.put(home, source, remote, options))
        return carry_out(lambda: self._launch(kind.begin, limit=transfers.LIMIT))

    def get(
        self: Hosts, remote: Remote, local: Local | Mapping[str, Local], *,
        mode: int | None = None, times: bool = True,
        owner: bool | str | None = None, symlinks: Literal['keep', 'follow', 'skip'] = 'keep',
        compare: Literal['time', 'content', 'always'] | None = None, delete: bool = False, resume: bool = False,
        durable: bool | None = None,
    ) -> Results[Copied]:
        """
        Copy a file or a folder of each host to this program; return the Results, each what was done.

        `local` is a folder, in which each host gets a folder of its name: ``get('/etc/hosts', 'copies')`` makes
        ``copies/web1/hosts``.  Or a path with ``{host}`` in it, which stands for that name: ``'copies/{host}.txt'``; or
        a mapping from the name of each host to its path.  Folders that are missing are made.  In a path a ``/``
        or ``%`` of the name of a host is written as in a URL.  `remote`, `mode`, `times`, `owner`, `symlinks`,
        `compare`, `delete`, `resume` and `durable` are as for Context.get(); the limit of hosts is that of put().

        What fails on a host is among the failures of the Results.  Raises ValueError where two hosts would be
        copied to one path, and for a mapping that lacks a host; TypeError for a file object, before anything begins.

        Example::

            for host, copied in fleet.get('/var/log/syslog', 'logs').successes.items():
                print(host, copied.path)
        """
        from econtext.controller.files import copying
        from econtext.controller.fleet import transfers

        options = copying.Options(mode, times, owner, symlinks, compare, delete, resume, durable, None)
        copying.remote_name(None, remote)
        places = transfers.places_for(list(self), local)

        def fetch(host: str, home: Any) -> Copied:
            place = places[host]
            os.makedirs(os.path.dirname(place) or os.curdir, exist_ok=True)
            return copying.get(home, remote, place, options)

        kind = transfers.Transfers(self._pool, self._work_options, fetch)
        return carry_out(lambda: self._launch(kind.begin, limit=transfers.LIMIT))
