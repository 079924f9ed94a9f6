"""
A backend of joblib: each batch is one call of the executor of a fleet.

The strategy: joblib makes a batch a function without arguments, which is pickled here and carried out there by
``child.pickled``.  Batches grow while they are short, as joblib does it for processes.

Invariants:

* As many batches run at a time as joblib was told: the executor has only so many of the hosts.
* Batches that nobody waits for any more are interrupted.
* What hosts send is unpickled: they are trusted as this program is.

joblib calls all of it: the thread of ``Parallel``, and that of the callbacks of a fleet.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.child import pickled
from econtext.child.labels import seen
from econtext.controller.fleet.fleet import Fleet
from econtext.controller.text import harmless_lines

if TYPE_CHECKING:
    from econtext.controller.fleet.executor import FleetExecutor
    from econtext.controller.fleet.futures import HostFuture

    class Base:
        """The base class of joblib, which has no types, as far as it is needed here."""

        nesting_level: int
        parallel: Any

        def __init__(self, nesting_level: int | None = None, **options: Any) -> None: ...

    class Batching:
        """What finds out how large a batch is best."""

    joblib: Any
    cloudpickle: Any
else:
    try:
        joblib = importlib.import_module('joblib')
    except ImportError as error:
        raise ImportError(
            f"econtext.joblib needs the package joblib: run pip install 'econtext[joblib]' ({error})") from None
    backends = importlib.import_module('joblib._parallel_backends')
    Base, Batching = backends.ParallelBackendBase, backends.AutoBatchingMixin
    try:
        # Until joblib 1.5 a part of joblib.
        cloudpickle = importlib.import_module('joblib.externals.cloudpickle')
    except ImportError:
        cloudpickle = importlib.import_module('cloudpickle')

NAME = 'econtext'
#: What joblib itself gives to a backend.
GIVEN = frozenset(('nesting_level', 'inner_max_num_threads'))
#: Seconds that a batch has to stop that nobody waits for.
GRACE = 1.0


class RemoteTraceback(Exception):
    """Where an exception was raised on a host."""

    def __str__(self) -> str:
        return '\n' + str(self.args[0])


class FleetBackend(Batching, Base):
    """The backend, for one fleet; joblib makes it."""

    default_n_jobs = -1
    supports_retrieve_callback = True
    supports_sharedmem = False
    uses_threads = False

    def __init__(self, fleet: Any = None, retries: int = 0, **options: Any) -> None:
        for unknown in options.keys() - GIVEN:
            raise TypeError(f'the backend takes fleet= and retries=, and no {seen(unknown)}')
        super().__init__(**options)
        if not isinstance(fleet, Fleet):
            raise TypeError(
                f"the backend needs fleet=, as in joblib.parallel_config('econtext', fleet=fleet), not {seen(fleet)}")
        self.fleet: Fleet = fleet
        self.retries = retries
        self.executor: FleetExecutor | None = None
        self.running: set[HostFuture[Any]] = set()
        self.hosts: Fleet = fleet

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many batches can run at a time; joblib counts negative numbers from all there can be."""
        if n_jobs == 0:
            raise ValueError('n_jobs must not be 0')
        room = sum(member.threads for member in self.fleet._members.values())
        if n_jobs is None:
            return room
        return max(1, room + 1 + n_jobs) if n_jobs < 0 else min(n_jobs, room)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Get ready for calls of `parallel`."""
        self.parallel = parallel
        wanted = self.effective_n_jobs(n_jobs)
        names: list[str] = []
        room = 0
        for name, member in self.fleet._members.items():
            if room >= wanted:
                break
            names.append(name)
            room += member.threads
        self.hosts = self.fleet & names
        self.executor = self.hosts.executor(retries=self.retries)
        # Told of one, joblib would carry out all of it here.
        return wanted if n_jobs == 1 else max(wanted, 2)

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> HostFuture[Any]:
        """Have a batch carried out by a host that is free."""
        assert self.executor is not None, 'configure() comes first'
        future: HostFuture[Any] = self.executor.submit(
            pickled.run, cloudpickle.dumps(func), sys.version_info[:2], cloudpickle.__name__)
        self.running.add(future)
        future.add_done_callback(self.running.discard)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: HostFuture[Any]) -> Any:
        """Return what a batch has returned; raise what it has raised."""
        returned, data, trace = out.result()
        value = cloudpickle.loads(data)
        if returned:
            return value
        raise value from RemoteTraceback(harmless_lines(f'{out.host}: {trace}'))

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Interrupt what runs: nobody wants it any more."""
        self.stop()
        if ensure_ready:
            self.executor = self.hosts.executor(retries=self.retries)

    def terminate(self) -> None:
        """The calls are over."""
        self.stop()

    def stop(self) -> None:
        executor, self.executor = self.executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)
        for future in list(self.running):
            future.interrupt(GRACE)


def register() -> None:
    """
    Have joblib know the backend ``'econtext'``, whose workers are the hosts of a fleet.

    ``joblib.parallel_config('econtext', fleet=fleet, retries=0)`` then has each batch carried out by a host that is
    free; `retries` is how often a batch is begun again whose host was lost.  The hosts need the same minor version of
    Python as this program, and what they send is unpickled here.  Raises ImportError where joblib is missing.

    Example::

        econtext.joblib.register()
        with joblib.parallel_config('econtext', fleet=fleet):
            squares = joblib.Parallel()(joblib.delayed(pow)(number, 2) for number in range(100))
    """
    joblib.register_parallel_backend(NAME, FleetBackend)
