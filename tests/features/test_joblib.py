"""joblib over a fleet: `econtext.joblib`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import econtext
from lab import eventually
from lab.pythons import interpreter

pytest.importorskip('joblib')
import joblib  # type: ignore[import-untyped]  # noqa: E402

import econtext.joblib  # noqa: E402

MODULE = '''
    import os, time

    class Odd(Exception):
        def __init__(self, number, why):
            Exception.__init__(self, number, why)
            self.number = number

    def double(x):
        return 2 * x

    def where(x):
        time.sleep(0.05)
        return os.getpid()

    def refuse_odd(x):
        if x % 2:
            raise Odd(x, 'odd')
        return x

    def once(path, x):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return x
        os.kill(os.getpid(), 9)

    def stay(folder, x):
        open(os.path.join(folder, 'began-%d' % x), 'w').close()
        try:
            time.sleep(600)
        finally:
            open(os.path.join(folder, 'left-%d' % x), 'w').close()

    def refuse_behind(folder, count):
        while len(os.listdir(folder)) < count:
            time.sleep(0.01)
        raise Odd(1, 'odd')

    def nested(x):
        import joblib
        return sum(joblib.Parallel(n_jobs=2)(joblib.delayed(double)(each) for each in range(x)))
'''


@pytest.fixture
def jobs(program: Callable[..., Any]) -> Any:
    return program({'jobs.py': MODULE}, 'jobs')


@pytest.fixture
def fleet(broker: econtext.Broker) -> Iterator[econtext.Fleet]:
    econtext.joblib.register()
    with broker.fleet(['a', 'b', 'c'], connector='local', python=sys.executable) as made:
        yield made


def test_results_in_order_from_all_hosts(fleet: econtext.Fleet, jobs: Any) -> None:
    with joblib.parallel_config('econtext', fleet=fleet):
        assert joblib.effective_n_jobs(-1) == 3
        assert joblib.Parallel()(joblib.delayed(jobs.double)(x) for x in range(200)) == [2 * x for x in range(200)]
        found = set(joblib.Parallel(batch_size=1)(joblib.delayed(jobs.where)(x) for x in range(12)))
        assert found == set(fleet.call(os.getpid).successes.values())
        assert joblib.Parallel()(joblib.delayed(lambda x: -x)(x) for x in range(3)) == [0, -1, -2]
        assert joblib.Parallel()([joblib.delayed(jobs.nested)(4)]) == [12]


def test_as_many_as_it_is_told(fleet: econtext.Fleet, jobs: Any) -> None:
    with joblib.parallel_config('econtext', fleet=fleet, n_jobs=2):
        found = set(joblib.Parallel(batch_size=1)(joblib.delayed(jobs.where)(x) for x in range(12)))
    assert len(found) == 2


def test_an_exception_arrives_as_itself_and_the_next_call_works(fleet: econtext.Fleet, jobs: Any) -> None:
    with joblib.parallel_config('econtext', fleet=fleet):
        parallel = joblib.Parallel()
        with pytest.raises(jobs.Odd) as caught:
            parallel(joblib.delayed(jobs.refuse_odd)(x) for x in (0, 2, 7))
        assert caught.value.number == 7
        assert 'in refuse_odd' in str(caught.value.__cause__)
        assert parallel(joblib.delayed(jobs.refuse_odd)(x) for x in (0, 2)) == [0, 2]


@pytest.mark.parametrize('by', ['an error', 'Ctrl-C'])
def test_batches_are_interrupted_that_nobody_waits_for(
    fleet: econtext.Fleet, jobs: Any, tmp_path: Path, by: str
) -> None:
    before = fleet.call(os.getpid).successes
    folder = tmp_path / 'told'
    folder.mkdir()
    tasks = [joblib.delayed(jobs.stay)(str(folder), x) for x in range(2)]
    with joblib.parallel_config('econtext', fleet=fleet):
        if by == 'an error':
            with pytest.raises(jobs.Odd):
                joblib.Parallel(batch_size=1)([*tasks, joblib.delayed(jobs.refuse_behind)(str(folder), 2)])
        else:
            def press() -> None:
                eventually(lambda: len(os.listdir(folder)) == 2)
                os.kill(os.getpid(), signal.SIGINT)

            pressing = threading.Thread(target=press)
            pressing.start()
            with pytest.raises(KeyboardInterrupt):
                joblib.Parallel(batch_size=1)(tasks)
            pressing.join()
        eventually(lambda: sorted(os.listdir(folder)) == ['began-0', 'began-1', 'left-0', 'left-1'])
        assert joblib.Parallel()([joblib.delayed(jobs.double)(2)]) == [4]
    assert fleet.call(os.getpid).successes == before, 'the contexts have heeded it, and stay'


def test_a_host_that_is_lost(fleet: econtext.Fleet, jobs: Any, tmp_path: Path) -> None:
    with joblib.parallel_config('econtext', fleet=fleet, retries=1):
        again = joblib.Parallel(batch_size=1)(
            joblib.delayed(jobs.once)(str(tmp_path / 'once'), x) for x in range(5))
        assert again == list(range(5))
    with joblib.parallel_config('econtext', fleet=fleet), pytest.raises(econtext.ContextLost):
        joblib.Parallel()([joblib.delayed(jobs.once)(str(tmp_path / 'twice'), 1)])


def test_another_python(broker: econtext.Broker, jobs: Any) -> None:
    econtext.joblib.register()
    old = broker.fleet(['old'], connector='local', python=interpreter('2.7'))
    with joblib.parallel_config('econtext', fleet=old), pytest.raises(
            econtext.EcontextError, match=r'is Python 2.7, and the program runs Python \d.*the same version'):
        joblib.Parallel()([joblib.delayed(jobs.double)(1)])


def test_without_a_fleet() -> None:
    econtext.joblib.register()
    with pytest.raises(TypeError, match='needs fleet='), joblib.parallel_config('econtext'):
        pass


def test_an_option_that_there_is_not(fleet: econtext.Fleet) -> None:
    with pytest.raises(TypeError, match='takes fleet= and retries=, and no'):
        joblib.parallel_config('econtext', fleet=fleet, retry=1)


def test_without_joblib() -> None:
    code = (
        'import sys\nsys.modules["joblib"] = None\n'
        'try:\n    import econtext.joblib\nexcept ImportError as error:\n    print(error)\n')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                          env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    assert "run pip install 'econtext[joblib]'" in done.stdout
