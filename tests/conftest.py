"""What every test of the project gets: limits, leak checks, and the laboratory's parts as fixtures.

Markers: `deadline(seconds)`, `leaks_allowed(reason)`, `every_python` (in every version of a child, not some),
`controller_matrix` (also run on other controllers' Pythons), `slow` (not for scripts/quick),
`alone` (not beside other tests in scripts/test).
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hypothesis
import pytest

import lab
from lab import leaks, pythons
from lab.accounts import Accounts
from lab.programs import program  # noqa: F401
from lab.sshd import Sshd

if TYPE_CHECKING:
    import econtext

LINUX = sys.platform.startswith('linux')  # elsewhere there is no /proc to check for leaks
# For one phase of a test: set-up, the test itself, tear-down; more than `lab.SOON`, so that what is waited for is told.
# CI tries each property more often, beside other tests.
SECONDS = 300.0 if os.environ.get('CI') == 'true' else 120.0
GRACE = 30.0  # beyond that for Python to react at all; then the process is killed
SETTLE = lab.SOON  # seconds until what a test has ended must be gone
ALLOWED = 5.0  # the same for a test that may leave something
# Else numpy, which some libraries import, starts threads that nobody ends.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

MARKERS = (
    'deadline(seconds): the time that each phase of this test may take, instead of 120 s',
    'leaks_allowed(reason): no check for leaked descriptors, threads and processes after this test',
    'every_python: run with a child of every version; else with those that differ most, and one of the rest',
    'controller_matrix: run with every supported Python as the controller',
    'alone: about time itself, so that nothing else runs beside it in scripts/test',
    'slow: takes more than a moment, or starts a process: not among the unit tests of scripts/quick',
)

_stderr = pytest.StashKey[int]()

# Of each property. scripts/mutation and scripts/quick ask for fewer.
EXAMPLES = int(os.environ.get('ECONTEXT_EXAMPLES') or (500 if os.environ.get('CI') == 'true' else 200))
hypothesis.settings.register_profile(
    'econtext', max_examples=EXAMPLES, deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])  # no_leaks: around all examples
hypothesis.settings.load_profile('econtext')


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line('markers', line)
    left = sorted((Path(__file__).parents[1] / 'src' / 'econtext').glob('*.bin'))
    if left and not os.environ.get('ECONTEXT_BUILT'):
        raise pytest.UsageError(f'{left[0]}: scripts/test runs, or was killed: if so, delete src/econtext/*.bin')
    config.stash[_stderr] = os.dup(2)  # pytest captures 2 while tests run
    # Other accounts enter folders that tests make; whoever runs the tests may have a stricter one.
    os.umask(0o022)
    # A command on a terminal would leave one behind; tests/commands/test_session_server.py says otherwise.
    os.environ['ECONTEXT_SERVER'] = '0'
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Begun in the background by a shell: what tests start would be deaf to Ctrl-C, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if LINUX:
        leaks.adopt_orphans()
        leaks.record_births()


# -- time --------------------------------------------------------------------


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker('deadline')
    return float(marker.args[0]) if marker else SECONDS


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Kill everything, with all threads' stacks, where Python itself no longer reacts."""
    faulthandler.dump_traceback_later(3 * _limit(item) + GRACE, exit=True, file=item.config.stash[_stderr])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _limited(item: pytest.Item) -> Iterator[None]:
    """Fail a phase that is over its time, and print all threads' stacks; the next test then runs."""

    def over(_number: int, _frame: object) -> NoReturn:
        faulthandler.dump_traceback(all_threads=True, file=item.config.stash[_stderr])
        pytest.fail(f'over its deadline of {_limit(item)} s')

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, _limit(item))
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    return (yield from _limited(item))


# -- leaks -------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which a descriptor, a thread or a process is there that was not there before."""
    marker = request.node.get_closest_marker('leaks_allowed')
    if marker is not None:
        assert marker.args or marker.kwargs, 'leaks_allowed needs its reason'
    if not LINUX or os.environ.get('ECONTEXT_MUTATION'):
        # scripts/mutation: of a changed program the check would take longer than most tests.
        yield
        return
    before = leaks.Snapshot.take()
    yield
    found = before.settle(SETTLE if marker is None else ALLOWED)
    before.end_leaked()
    if found and marker is None:
        pytest.fail('left behind:\n  ' + '\n  '.join(found), pytrace=False)


# -- parts of the laboratory -------------------------------------------------


@pytest.fixture(scope='session')
def accounts() -> Iterator[Accounts]:
    """The machine's test accounts by kind, `accounts['sudo']`; see lab/accounts.py."""
    lab.require('accounts', 'sudo')
    with Accounts() as made:
        yield made


@pytest.fixture(scope='session')
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A private OpenSSH server; its client is `ssh *sshd.ssh_args(user) sshd.address`."""
    lab.require('sshd')
    with Sshd(tmp_path_factory.mktemp('sshd')) as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that takes `python` its versions, unless it says itself which."""
    named = any('python' in mark.args[0] for mark in metafunc.definition.iter_markers('parametrize'))
    if 'python' in metafunc.fixturenames and not named:
        every = metafunc.definition.get_closest_marker('every_python') is not None
        name = f'{metafunc.module.__name__}.{metafunc.function.__name__}'
        metafunc.parametrize('python', pythons.wanted() if every else pythons.some(name), indirect=True)


@pytest.fixture
def python(request: pytest.FixtureRequest) -> pythons.Interpreter:
    """A version of Python that a child may have, of several: the interpreter's path, a str with `.version`."""
    return pythons.interpreter(request.param)


@pytest.fixture
def public_python(python: pythons.Interpreter) -> pythons.Interpreter:
    """The same, at a path that every account can run."""
    return pythons.public_python(python.name)


@pytest.fixture
def broker() -> Iterator[econtext.Broker]:
    """A broker of the test's own, closed after it."""
    import econtext

    with econtext.Broker() as made:
        yield made


@pytest.fixture(scope='session')
def repository() -> Path:
    """The root of the source tree."""
    return Path(__file__).resolve().parent.parent
