"""
What econtext needs of Dask's ``distributed``, which is no dependency of econtext.

Raises ImportError with the remedy where the package is missing.  Any thread may enter.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Generator

    class ProcessInterface:
        """A server of a cluster, as far as it is needed here: distributed leaves most of it untyped."""

        address: str | None
        status: Any
        lock: asyncio.Lock

        def __init__(self, scheduler: str | None = None, name: object = None) -> None: ...
        async def start(self) -> None: ...
        async def close(self) -> None: ...

    class Cluster:
        """What all clusters have."""

        def _update_worker_status(self, op: str, msg: Any) -> None: ...

    class SpecCluster(Cluster):
        """A cluster that starts its servers by a description of each."""

        _lock: asyncio.Lock
        asynchronous: bool
        loop: Any
        scheduler: Any
        scheduler_address: str
        scheduler_info: Any
        security: Any
        shutdown_scheduler: bool
        status: Any
        worker_spec: dict[Any, Any]
        workers: dict[Any, Any]

        def __init__(self, workers: Any = None, scheduler: Any = None, worker: Any = None, **options: Any) -> None: ...
        def __await__(self) -> Generator[Any, Any, Any]: ...
        async def _start(self) -> None: ...
        async def _close(self) -> None: ...
        def _correct_state(self) -> Awaitable[None]: ...
        def _memory_per_worker(self) -> int: ...
        def _threads_per_worker(self) -> int: ...
        def scale(self, n: int = 0, memory: Any = None, cores: Any = None) -> Any: ...
        def adapt(self, *args: Any, **options: Any) -> Any: ...
        def sync(self, function: Any, *args: Any, **options: Any) -> Any: ...

    distributed: Any
    configuration: Any
    parse_bytes: Any
    Status: Any
else:
    try:
        distributed = importlib.import_module('distributed')
        spec = importlib.import_module('distributed.deploy.spec')
    except ImportError as error:
        raise ImportError(
            f"econtext.dask needs the package distributed: run pip install 'econtext[dask]' ({error})"
        ) from None
    #: The module, as distributed has a name that is its table.
    configuration = importlib.import_module('dask.config')
    parse_bytes = importlib.import_module('dask.utils').parse_bytes
    Cluster = importlib.import_module('distributed.deploy.cluster').Cluster
    ProcessInterface, SpecCluster = spec.ProcessInterface, spec.SpecCluster
    Status = importlib.import_module('distributed.core').Status
