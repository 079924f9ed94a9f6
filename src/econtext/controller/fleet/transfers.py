"""
Files to and from each host of a fleet.

The strategy: a transfer is what a context does alone, in a thread of its own; it uses a seat, by which it can be
ended from outside.  So at most LIMIT hosts are copied to at a time, unless asked otherwise.

Invariants:

* No two hosts are copied into one file or folder, whatever their names are.
* A transfer that is interrupted, or whose time is over, ends both here and there.

The functions are pure but for what they ask of the file system; the rest is the crew's.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from econtext.child.labels import seen
from econtext.controller.errors import CallTimeout, EcontextError
from econtext.controller.files import copying
from econtext.controller.fleet.seats import Seat

if TYPE_CHECKING:
    from econtext.controller.context import Context
    from econtext.controller.fleet.members import Pool
    from econtext.controller.fleet.options import WorkOptions

LIMIT = 64      # hosts at a time
PLACEHOLDER = '{host}'
#: What stands in names of files as it is; all else that is printable is kept as well, but for / and %.
DOTS = ('.', '..')


def file_name(host: str) -> str:
    """Return the name of a file for a host: another one for each, with no / in it, and none that means a folder."""
    if host in DOTS:
        return host.replace('.', '%2E')
    return ''.join(quote(letter, safe='') if letter in '/%' else letter for letter in host)


def places_for(hosts: Sequence[str], local: Any) -> dict[str, str]:
    """Return where what comes of each of `hosts` goes; raise ValueError where two of them would meet."""
    if isinstance(local, Mapping):
        missing = [host for host in hosts if host not in local]
        if missing:
            raise ValueError(f'get() was given no path for {seen(missing[0])}: name one for each host')
        places = {host: path_of(local[host]) for host in hosts}
    else:
        path = path_of(local)
        if PLACEHOLDER not in path:
            path = os.path.join(path, PLACEHOLDER, '')
        places = {host: path.replace(PLACEHOLDER, file_name(host)) for host in hosts}
    taken: dict[str, str] = {}
    for host, place in places.items():
        other = taken.setdefault(os.path.realpath(place), host)
        if other != host:
            raise ValueError(
                f'{seen(other)} and {seen(host)} would be copied to one path: write {PLACEHOLDER} where the name of '
                'the host is to stand')
    return places


def path_of(local: Any) -> str:
    if not isinstance(local, (str, os.PathLike)):
        raise TypeError(f'get() of a fleet takes a folder, or a path with {PLACEHOLDER} in it, not {seen(local)}')
    path = os.fsdecode(local)
    copying.local_name(path)
    return path


def source_of(local: Any) -> Any:
    """Return what is copied, as something that can be read many times; raise what stands in the way."""
    if hasattr(local, '__econtext_path__') or isinstance(local, (bytes, bytearray, memoryview)):
        return local
    if hasattr(local, 'read'):
        return copying.check_reader(local).read()
    copying.local_name(local)
    os.stat(local)
    return local


class Transfer(concurrent.futures.Future[Any]):
    """The transfer of one host."""

    def __init__(self, seat: Seat, timeout: float | None, grace: float) -> None:
        super().__init__()
        self.seat = seat
        self.timeout = timeout
        self.grace = grace
        self.expired: bool = False

    def interrupt(self, grace: float) -> None:
        """End it. Any thread."""
        self.seat.stop(grace)

    def expire(self) -> None:
        """Its time is over."""
        self.expired = True
        self.seat.stop(self.grace)

    def run(self, work: Callable[[Any], Any]) -> None:
        """Carry it out. In a thread of its own."""
        try:
            value = work(self.seat)
        except BaseException as error:
            self.set_exception(self.reason(error))
        else:
            self.set_result(value)

    def reason(self, error: BaseException) -> BaseException:
        """Return why it failed with `error`."""
        if self.expired:
            return CallTimeout(
                f'{self.seat.name}: the transfer did not end within {self.timeout:g} s, and was ended: '
                'give it more time with timeout=')
        if self.seat.stopped is not None:
            return EcontextError(f'{self.seat.name}: the transfer was interrupted')
        return error


class Transfers:
    """One transfer for each host: what a fleet calls a piece of work."""

    def __init__(self, pool: Pool, options: WorkOptions, work: Callable[[str, Any], Any]) -> None:
        self.pool = pool
        self.options = options
        self.work = work

    def begin(self, context: Context, host: str) -> Transfer:
        """Begin the transfer of `host`. The crew."""
        seat = Seat(context, None, self.options.grace)
        transfer = Transfer(seat, self.options.timeout, self.options.grace)
        if self.options.timeout is not None:
            alarm = self.pool.coordinator.at(self.options.timeout, lambda: self.expire(transfer))
            transfer.add_done_callback(lambda done: self.pool.coordinator.cancel(alarm))
        self.pool.crew.hand(
            lambda: transfer.run(functools.partial(self.work, host)), transfer.set_exception, alone=True)
        return transfer

    def expire(self, transfer: Transfer) -> None:
        # Not here: it sends, which may take its time.
        self.pool.crew.hand(transfer.expire, transfer.set_exception)
