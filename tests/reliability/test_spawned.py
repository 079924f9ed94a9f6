"""multiprocessing in a context, by each start method: forwarded modules are there, or an error says why not."""

from __future__ import annotations

import pytest
from stops import spawned

import econtext
from lab import eventually, leaks, pythons

VERSIONS = ('3.6', '3.8', '3.11', '3.14', '3.15')
METHODS = 'fork', 'spawn', 'forkserver'
AREAS = [0, 1, 4, 9]


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('method', METHODS)
def test_a_pool_has_what_was_sent(broker: econtext.Broker, version: str, method: str) -> None:
    child = broker.local(python=pythons.interpreter(version))
    *areas, late, slave, failure, absent = child.options(timeout=60).call(spawned.pool, method)
    assert areas == AREAS
    assert late == ('stops.late0', 3)
    assert slave == (True, 'EcontextError')
    assert failure == 'ValueError: the true reason'
    assert absent.startswith('ModuleNotFoundError')
    assert 'let the context import it before' in absent
    assert child.call(len, 'still') == 5


@pytest.mark.parametrize('version', [version for version in VERSIONS if version != '3.6'])
@pytest.mark.parametrize('method', METHODS)
def test_an_executor_has_what_was_sent(broker: econtext.Broker, version: str, method: str) -> None:
    child = broker.local(python=pythons.interpreter(version))
    assert child.options(timeout=60).call(spawned.executor, method) == [*AREAS, 'ValueError: the true reason']


@pytest.mark.parametrize('version', VERSIONS)
def test_the_default_start_method_works(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version))
    assert child.options(timeout=60).call(spawned.default_pool) == AREAS


@pytest.mark.parametrize('version', ['3.8', '3.11', '3.15'])
@pytest.mark.parametrize('method', METHODS)
def test_a_started_process_starts_others(broker: econtext.Broker, version: str, method: str) -> None:
    child = broker.local(python=pythons.interpreter(version))
    assert child.options(timeout=60).call(spawned.deeper, method) == 9
    assert child.options(timeout=60).call(spawned.manager, method) == {'side': 3}


@pytest.mark.parametrize('version', ['3.8', '3.11', '3.15'])
@pytest.mark.parametrize('method', METHODS)
def test_what_a_pool_left_goes_with_its_context(broker: econtext.Broker, version: str, method: str) -> None:
    """Workers, and the helpers that heed no signal."""
    child = broker.local(python=pythons.interpreter(version))
    group = child.options(timeout=60).call(spawned.leave, method)
    assert len(group) > 1
    child.close()
    eventually(lambda: not any(leaks.alive(pid) for pid in group))
