"""
What came of some work on each host of a fleet.

Invariants:

* Each host is in exactly one of `successes`, `failures` and `skipped`.

Pure; any thread may enter.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from econtext.controller import notebook
from econtext.controller.errors import EcontextError

T = TypeVar('T')
SHOWN = 5   # failures that the text of a FleetError shows


if sys.version_info >= (3, 11):
    class FleetError(EcontextError, builtins.ExceptionGroup[Exception]):
        """
        Some hosts of a fleet failed.

        It is an ExceptionGroup, from Python 3.11 on: ``except*`` works.  `exceptions` are those of the
        hosts, `failures` the same by the name of the host.
        """

        failures: Mapping[str, Exception]

        def __new__(
            cls, message: str, exceptions: Sequence[Exception], failures: Mapping[str, Exception]
        ) -> FleetError:
            self = super().__new__(cls, message, exceptions)
            self.failures = failures
            return self

        def __init__(
            self, message: str, exceptions: Sequence[Exception], failures: Mapping[str, Exception]
        ) -> None:
            super().__init__(message, exceptions)

        def derive(self, excs: Sequence[Exception], /) -> FleetError:  # type: ignore[override]  # Exceptions only
            kept = {host: error for host, error in self.failures.items() if any(error is each for each in excs)}
            return FleetError(self.message, excs, kept)

        def __str__(self) -> str:
            return str(self.message)

        def __reduce__(self) -> Any:
            return FleetError, (self.message, self.exceptions, dict(self.failures))
else:
    class FleetError(EcontextError):
        """
        Some hosts of a fleet failed.

        It is an ExceptionGroup, from Python 3.11 on: ``except*`` works.  `exceptions` are those of the
        hosts, `failures` the same by the name of the host.
        """

        def __init__(
            self, message: str, exceptions: Sequence[Exception], failures: Mapping[str, Exception]
        ) -> None:
            super().__init__(message, exceptions, failures)
            self.message = message
            self.exceptions = tuple(exceptions)
            self.failures = failures

        def __str__(self) -> str:
            return self.message


class Results(Mapping[str, T], Generic[T]):
    """
    What came of some work on each host: a mapping from names of hosts to values.

    All hosts are in it, in the order of the fleet; looking up one that failed raises why.
    `successes` maps the others to their values, `failures` those to their exceptions;
    `skipped` has the names of the hosts where nothing was begun, because the work was stopped first.
    """

    def __init__(
        self, hosts: Sequence[str], successes: Mapping[str, T], failures: Mapping[str, Exception],
    ) -> None:
        self.hosts: tuple[str, ...] = tuple(hosts)
        self.successes: Mapping[str, T] = MappingProxyType(dict(successes))
        self.failures: Mapping[str, Exception] = MappingProxyType(dict(failures))
        self.skipped: tuple[str, ...] = tuple(host for host in hosts if host not in successes and host not in failures)

    def __repr__(self) -> str:
        skipped = f', {len(self.skipped)} skipped' if self.skipped else ''
        return f'<econtext.Results: {len(self.successes)} succeeded, {len(self.failures)} failed{skipped}>'

    def _repr_html_(self) -> str:
        # Where not all of them show, what went wrong is to.
        hosts = self.hosts if len(self.hosts) <= notebook.MOST else sorted(
            self.hosts, key=lambda host: host in self.successes)
        return notebook.table(self.__repr__()[1:-1], ('host', 'state', 'result'), [self._row(host) for host in hosts])

    def _row(self, host: str) -> tuple[str, str, str]:
        if host in self.successes:
            return host, 'succeeded', notebook.value(self.successes[host])
        if host in self.failures:
            return host, 'failed', notebook.failure(self.failures[host])
        return host, 'skipped', ''

    def __getitem__(self, host: str) -> T:
        if host in self.successes:
            return self.successes[host]
        if host in self.failures:
            raise self.failures[host]
        if host in self.skipped:
            raise EcontextError(f'{host}: nothing was begun there, because the work was stopped first: see failures')
        raise KeyError(host)

    def __contains__(self, host: object) -> bool:
        return host in self.hosts

    def __iter__(self) -> Iterator[str]:
        return iter(self.hosts)

    def __len__(self) -> int:
        return len(self.hosts)

    def raise_for_failures(self) -> Results[T]:
        """
        Raise a FleetError, which is an ExceptionGroup, if a host failed; else return these results.

        Raises FleetError; its text names the hosts.

        Example::

            loads = fleet.call(os.getloadavg).raise_for_failures().successes
        """
        if self.failures:
            raise failed(self.failures, len(self.hosts), len(self.skipped))
        return self


def failed(failures: Mapping[str, Exception], total: int, skipped: int = 0) -> FleetError:
    """Return the error for `failures`, of `total` hosts."""
    first = ', '.join(list(failures)[:SHOWN])
    more = f' and {len(failures) - SHOWN} more' if len(failures) > SHOWN else ''
    left = f'; {skipped} more were not begun' if skipped else ''
    text = f'{len(failures)} of {total} hosts failed: {first}{more}{left}; see failures for why'
    return FleetError(text, list(failures.values()), dict(failures))
