"""Point 10, life time: what econtext started ends with the program, however that ends."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from errands import facts, streams, work

import econtext
from lab import SOON, eventually, leaks, olden, pythons
from lab.accounts import Accounts
from lab.sshd import Sshd

SECONDS = SOON  # until everything must be gone
VERSIONS = ('2.7', '3.6', '3.11', '3.13')
ME = pwd.getpwuid(os.geteuid()).pw_name
PROGRAM = Path(__file__).with_name('errands') / 'program.py'

# What a context does when its end comes.
WAYS: dict[str, Any] = {
    'idle': None,
    'sleeps': work.sleep,
    'computes': work.compute,
    'system': work.system,
    'waits': work.wait_program,
    'stubborn': work.stubborn,
}


def heed_signals() -> None:
    """Whoever runs the tests may ignore SIGHUP, as nohup does."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Program:
    """A controller of its own: it starts contexts and says which processes they are."""

    def __init__(self, *plan: dict[str, Any], ending: str = 'wait', environ: dict[str, str] | None = None) -> None:
        here = Path(__file__).resolve().parent
        source = Path(econtext.__file__).resolve().parent.parent
        paths = {'PYTHONPATH': f'{source}:{here}'}
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(list(plan)), ending],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **paths, **(environ or {})}, start_new_session=True,
            preexec_fn=heed_signals,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.communicate()[1])
        #: The process of each context, by name.
        self.pids: dict[str, int] = json.loads(line)
        #: Every process that must be gone afterwards.
        self.all: dict[tuple[int, int], str] = {}
        self.look()

    def look(self) -> int:
        """See which processes there are now, for what a context starts may come behind its word; return how many."""
        below = {entry.pid for entry in leaks.descendants(self.process.pid)}
        for pid in self.pids.values():
            below |= {pid} | {entry.pid for entry in leaks.descendants(pid)}
        self.all |= {found.key: leaks.command_line(pid) for pid in below if (found := leaks.process(pid))}
        return len(self.all)

    def communicate(self) -> tuple[str, str]:
        out, err = self.process.communicate(timeout=60)
        return out, err

    def remaining(self) -> dict[tuple[int, int], str]:
        """What still runs of it."""
        return {
            key: text for key, text in self.all.items()
            if (found := leaks.process(key[0])) and found.key == key and found.state not in 'ZX'
        }  # fmt: skip

    def assert_gone(self, but: tuple[int, ...] = (), seconds: float = SECONDS) -> None:
        end = time.monotonic() + seconds
        names = {pid: name for name, pid in self.pids.items()}
        while left := {key: text for key, text in self.remaining().items() if key[0] not in but}:
            if time.monotonic() > end:
                told = [f'{key[0]} {names.get(key[0], "")}: {text}' for key, text in left.items()]
                raise AssertionError('still there:\n  ' + '\n  '.join(sorted(told)))
            time.sleep(0.02)

    def assert_ended(self) -> None:
        """Nothing of it runs at this moment, but for what was killed and has not had its turn yet."""
        left = [text for key, text in self.remaining().items() if not leaks.doomed(key[0])]
        assert left == []
        self.assert_gone()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.communicate()
        for pid, _ in self.remaining():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start() -> Iterator[Any]:
    made: list[Program] = []

    def start(*plan: dict[str, Any], **options: Any) -> Program:
        made.append(Program(*plan, **options))
        return made[-1]

    yield start
    for program in made:
        program.close()


def plan(via: str | None = None, ways: tuple[str, ...] = tuple(WAYS)) -> list[dict[str, Any]]:
    """One context of each version for each way."""
    return [
        {'name': f'{version} {way}', 'via': via, 'kind': 'local', 'way': way,
         'options': {'python': pythons.interpreter(version)}}
        for version in VERSIONS for way in ways
    ]  # fmt: skip


def over_ssh(sshd: Sshd, name: str = 'web', user: str = ME, way: str = 'idle', version: str = '3.11') -> dict[str, Any]:
    options = {'hostname': sshd.address, 'username': user, 'ssh_args': sshd.ssh_args()}
    options['python'] = pythons.public_python(version) if user != ME else pythons.interpreter(version)
    return {'name': name, 'via': None, 'kind': 'ssh', 'way': way, 'options': options}


def ssh_clients(program: Program) -> list[int]:
    return [entry.pid for entry in leaks.descendants(program.process.pid)
            if leaks.command_line(entry.pid).startswith('ssh ')]  # fmt: skip


# -- the controller is killed ------------------------------------------------


def test_killed_controller_of_local_contexts(start: Any) -> None:
    program = start(*plan())
    eventually(lambda: program.look() >= 4 * (6 + 2 + 1 + 2), what='all that they start is there')
    program.process.kill()
    program.assert_gone()


@pytest.mark.parametrize('way', ['holds', 'computes', 'sleeps'])
def test_killed_controller_of_a_python_without_timers(start: Any, tmp_path: Path, way: str) -> None:
    """Before Python 2.6 no timer ends what holds the interpreter lock: another process of the context does."""
    python = olden.write(tmp_path)
    hop = {'name': 'hop', 'via': None, 'kind': 'local', 'way': 'idle', 'options': {'python': python}}
    program = start(hop, {'name': 'old', 'via': 'hop', 'kind': 'local', 'way': way, 'options': {'python': python}})
    program.process.kill()
    program.assert_gone()


def test_killed_controller_over_ssh(start: Any, sshd: Sshd) -> None:
    ways = ('idle', 'sleeps', 'computes', 'system', 'stubborn')
    program = start(*(over_ssh(sshd, f'{v} {way}', way=way, version=v) for v in VERSIONS for way in ways))
    assert len(ssh_clients(program)) == len(VERSIONS) * len(ways)
    program.process.kill()
    program.assert_gone()


def test_killed_controller_of_a_chain(start: Any, sshd: Sshd) -> None:
    program = start(over_ssh(sshd), *plan('web'))
    program.process.kill()
    program.assert_gone()


@pytest.mark.parametrize('way', ['idle', 'computes', 'system'])
def test_killed_controller_of_busy_hops(start: Any, way: str) -> None:
    """Each hop has its own work when the end comes."""
    hops: list[dict[str, Any]] = []
    for version in VERSIONS:
        hops.append({'name': f'hop{version}', 'via': hops[-1]['name'] if hops else None, 'kind': 'local',
                     'way': way, 'options': {'python': pythons.interpreter(version)}})  # fmt: skip
    program = start(*hops)
    program.process.kill()
    program.assert_gone()


@pytest.mark.parametrize('way', ['idle', 'sleeps', 'system', 'stubborn'])
def test_killed_controller_of_another_user(start: Any, sshd: Sshd, accounts: Accounts, way: str) -> None:
    """What sudo started cannot be signalled by whom it was started from."""
    web = over_ssh(sshd, user=accounts['nopw'].name)
    up = {'name': 'up', 'via': 'web', 'kind': 'sudo', 'way': way, 'options': {}}
    down = {'name': 'down', 'via': 'up', 'kind': 'sudo', 'way': way,
            'options': {'username': accounts['target'].name}}  # fmt: skip
    program = start(web, up, down)
    program.process.kill()
    program.assert_gone()


# -- the link is cut ---------------------------------------------------------


def test_killed_ssh(start: Any, sshd: Sshd) -> None:
    program = start(over_ssh(sshd), *plan('web'))
    for pid in ssh_clients(program):
        os.kill(pid, signal.SIGKILL)
    program.assert_gone(but=(program.process.pid,))
    out, _ = program.communicate()
    assert json.loads(out)['web'] == 'ContextLost'
    assert set(json.loads(out).values()) == {'ContextLost'}
    assert program.process.returncode == 0


def test_dropped_link(start: Any, tmp_path: Path) -> None:
    with Sshd(tmp_path / 'sshd') as sshd:
        program = start(over_ssh(sshd), *plan('web'))
        sshd.cut()
        program.assert_gone(but=(program.process.pid,))
        out, _ = program.communicate()
        assert set(json.loads(out).values()) == {'ContextLost'}


@pytest.mark.parametrize('version', VERSIONS)
def test_killed_intermediate(start: Any, version: str) -> None:
    hop = {'name': 'hop', 'via': None, 'kind': 'local', 'way': 'idle',
           'options': {'python': pythons.interpreter(version)}}  # fmt: skip
    program = start(hop, *plan('hop'))
    os.kill(program.pids['hop'], signal.SIGKILL)
    program.assert_gone(but=(program.process.pid,))
    out, _ = program.communicate()
    assert set(json.loads(out).values()) == {'ContextLost'}


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_context_and_its_programs(start: Any, number: int) -> None:
    """Somebody over there ends the process by hand. (In os.system() Python itself heeds no signal.)"""
    program = start(*plan(ways=('idle', 'sleeps', 'computes', 'waits', 'stubborn')))
    for pid in program.pids.values():
        os.kill(pid, number)
    program.assert_gone(but=(program.process.pid,))
    assert set(json.loads(program.communicate()[0]).values()) == {'ContextLost'}


# -- the program ends --------------------------------------------------------


@pytest.mark.parametrize('ending', ['leave', 'raise', 'exit', 'forget', 'forget-thread', 'shutdown'])
def test_the_program_ends(start: Any, ending: str) -> None:
    ways = ('idle',) if ending == 'shutdown' else ('idle', 'sleeps', 'computes', 'system')
    program = start(*plan(ways=ways), ending=ending)
    began = time.monotonic()
    _, err = program.communicate()
    assert time.monotonic() - began < SECONDS
    assert program.process.returncode == {'raise': 1, 'exit': 5}.get(ending, 0)
    if ending == 'raise':
        assert err.rstrip().endswith('ValueError: of the program')
    else:
        assert err == ''
    program.assert_gone() if ending == 'forget-thread' else program.assert_ended()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_the_program_is_ended(start: Any, number: int) -> None:
    program = start(*plan(ways=('idle', 'system')))
    program.process.send_signal(number)
    program.assert_gone()


def test_a_daemon_stays(start: Any) -> None:
    for version in VERSIONS:
        with econtext.Broker() as broker:
            child = broker.local(python=pythons.interpreter(version))
            pid = child.call(work.daemon)
        assert leaks.alive(pid)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: not leaks.alive(pid))


# -- Ctrl-C ------------------------------------------------------------------


@pytest.mark.parametrize('place', ['call', 'result', 'wait', 'channel', 'select', 'wait_ready', 'own', 'options'])
def test_interrupt(start: Any, tmp_path: Path, place: str) -> None:
    """Ctrl-C is a KeyboardInterrupt where the program stands, and all ends in order."""
    program = start(*plan(ways=('system',)), ending='interrupt-' + place)
    wait_for_line(program, 'at ' + place)
    program.interrupt()
    _, err = program.communicate()
    assert 'KeyboardInterrupt' in err
    assert 'Exception ignored' not in err
    assert 'Exception in thread' not in err
    assert program.process.returncode == -signal.SIGINT
    program.assert_ended()


def test_interrupt_of_the_whole_terminal(start: Any, sshd: Sshd) -> None:
    """A terminal sends it to every process of the group; what we start is not in it."""
    program = start(over_ssh(sshd), *plan('web', ways=('sleeps',)), ending='interrupt-call')
    wait_for_line(program, 'at call')
    os.killpg(program.process.pid, signal.SIGINT)
    _, err = program.communicate()
    assert 'KeyboardInterrupt' in err
    assert 'lost' not in err
    program.assert_gone()


@pytest.mark.parametrize('version', VERSIONS)
def test_an_interrupted_call_cleans_up(start: Any, tmp_path: Path, version: str) -> None:
    path = tmp_path / 'cleaned'
    careful = {'name': 'careful', 'via': None, 'kind': 'local', 'way': 'careful', 'path': str(path),
               'options': {'python': pythons.interpreter(version)}}  # fmt: skip
    program = start(careful, ending='interrupt-own', environ={'ECT_PATIENCE': '60'})
    wait_for_line(program, 'at own')
    program.interrupt()
    program.communicate()
    program.assert_ended()
    assert path.read_text() == 'cleaned up\n'


def test_a_second_interrupt_ends_at_once(start: Any) -> None:
    child = {'name': 'child', 'via': None, 'kind': 'local', 'way': 'system', 'options': {}}
    program = start(child, ending='interrupt-call', environ={'ECT_PATIENCE': '600'})
    wait_for_line(program, 'at call')
    os.kill(program.pids['child'], signal.SIGSTOP)  # it does not take the hint
    program.interrupt()
    wait_for_line(program, 'closing')
    assert program.process.poll() is None
    began = time.monotonic()
    program.interrupt()
    _, err = program.communicate()
    assert time.monotonic() - began < SECONDS
    assert 'KeyboardInterrupt' in err
    program.assert_gone()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGALRM, signal.SIGTERM])
def test_a_program_s_own_handler_comes_back(number: signal.Signals) -> None:
    """Something stands for it while a broker is open; what is no function stays."""
    before = signal.getsignal(number)

    def own(signum: int, frame: object) -> None:
        called.append(signum)

    def later(signum: int, frame: object) -> None:
        called.append(-signum)

    called: list[int] = []
    try:
        for handler in signal.SIG_IGN, signal.SIG_DFL:
            signal.signal(number, handler)
            with econtext.Broker():
                assert signal.getsignal(number) is handler
        signal.signal(number, own)
        with econtext.Broker() as broker:
            context = broker.local()
            signal.raise_signal(number)
            with econtext.Broker() as second:
                second.local().call(os.getpid)
            signal.raise_signal(number)
            assert called == [number] * 2
            replaced = signal.signal(number, later)
            context.call(os.getpid)
            signal.raise_signal(number)
            signal.signal(number, replaced)
            signal.raise_signal(number)
        assert called == [number, number, -number, number]
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, before)


def wait_for_line(program: Program, line: str) -> None:
    assert program.process.stdout is not None
    for text in program.process.stdout:
        if text.strip() == line:
            return
    raise AssertionError(program.communicate()[1])


# -- in this process: what remains, and who is told --------------------------


def held() -> tuple[set[str], int, set[int]]:
    """Return our descriptors, threads, and the programs we started ourselves, zombies too."""
    gc.collect()
    leaks.reap_adopted()  # orphans of contexts come to this process, which is to wait for them
    return (
        set(os.listdir('/proc/self/fd')),
        threading.active_count(),
        {entry.pid for entry in leaks.table() if entry.parent == os.getpid() and entry.key in leaks._born},
    )


def no_more(before: tuple[set[str], int, set[int]]) -> bool:
    """Is nothing here that was not here before? What was about to go by then may have gone."""
    descriptors, threads, programs = held()
    return descriptors <= before[0] and threads <= before[1] and programs <= before[2]


@pytest.mark.every_python
def test_nothing_remains_the_moment_the_broker_has_closed(python: pythons.Interpreter) -> None:
    with econtext.Broker() as broker:  # what a first use imports and opens
        broker.local(python=python).call(os.getpid)
    before = held()
    with econtext.Broker() as broker:
        child = broker.local(python=python)
        hop = child.local(python=python)
        channel = hop.channel()
        hop.submit(streams.hold, channel)
        assert next(channel) == 'here'
        child.submit(work.sleep)
        pid = hop.pid
    assert held() == before
    eventually(lambda: not leaks.alive(pid), SECONDS, 'what was started from a context ends too')


def test_nothing_remains_over_ssh_and_sudo(sshd: Sshd, accounts: Accounts) -> None:
    with econtext.Broker() as broker:
        broker.local().call(os.getpid)
    before = held()
    with econtext.Broker() as broker:
        web = broker.ssh(sshd.address, username=accounts['sudo'].name, ssh_args=sshd.ssh_args())
        root = web.sudo(password=accounts['sudo'].password)
        pids = [web.call(os.getpid), root.call(os.getpid)]
        root.submit(work.system)
    assert held() == before
    eventually(lambda: not any(leaks.alive(pid) for pid in pids), SECONDS)


@pytest.mark.parametrize('python', VERSIONS, indirect=True)
def test_many_brokers_leave_nothing(python: pythons.Interpreter) -> None:
    with econtext.Broker() as broker:
        broker.local(python=python).call(os.getpid)
    before = held()
    for _ in range(10):
        with econtext.Broker() as broker:
            assert broker.local(python=python).call(os.getpid)
    assert held() == before


def test_a_broker_that_was_never_used() -> None:
    before = held()
    with econtext.Broker():
        pass
    econtext.Broker().close()
    assert held() == before


FORGETFUL = """
import atexit, os, threading
import econtext
from econtext.controller import tree
from econtext.controller.runtime import events
from econtext.parent import children

def refuse(*arguments, **options):
    raise RuntimeError("can't create new thread at interpreter shutdown")

def at_exit():
    children.start_new_thread = threading.Thread.start = refuse

if __name__ == '__main__':
    tree.CLOSING = 600      # who waits in vain is seen
    events.IDLE = 0.0       # no thread for events is left over
    broker = econtext.Broker()
    one, two = broker.local(name='one'), broker.local(name='two')
    print(one.call(os.getpid), two.call(os.getpid), one.local().call(os.getpid))
    two.call(print, 'words')
    atexit.register(at_exit)
"""


def test_a_program_that_forgets_to_close_ends_as_one_that_closes(tmp_path: Path) -> None:
    """Python 3.12 starts no thread any more when it comes to the end of what was forgotten."""
    program = tmp_path / 'forgetful.py'
    program.write_text(FORGETFUL)
    source = Path(econtext.__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=60,
        env={**os.environ, 'PYTHONPATH': str(source)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, '[two] words\n')
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 3
    eventually(lambda: not any(leaks.process(pid) for pid in pids))


def test_contexts_still_starting_are_ended() -> None:
    before = held()
    began = time.monotonic()
    with econtext.Broker() as broker:
        for _ in range(5):
            broker.local(connect_timeout=600)
    assert time.monotonic() - began < SECONDS
    assert held() == before


def test_a_failed_context_leaves_nothing_while_the_broker_lives() -> None:
    with econtext.Broker() as broker:
        broker.local().call(os.getpid)
        before = held()
        with pytest.raises(econtext.ConnectError):
            broker.local(python='/nonexistent/python').call(os.getpid)
        with pytest.raises(econtext.ConnectError):
            broker.local(python='/bin/false').call(os.getpid)
        eventually(lambda: no_more(before), what='what the failed contexts had is let go')


@pytest.mark.parametrize('version', VERSIONS)
def test_shutdown(broker: econtext.Broker, version: str) -> None:
    before = held()
    child = broker.local(python=pythons.interpreter(version))
    pid = child.call(os.getpid)
    last = child.submit(os.getpid)
    child.shutdown()
    assert last.result(0) == pid  # what was sent before is carried out
    assert not leaks.alive(pid)
    with pytest.raises(econtext.ContextLost):
        child.call(os.getpid)
    child.shutdown()  # again: nothing happens
    eventually(lambda: no_more(before), what='descriptors and processes of the context are gone')


def test_shutdown_takes_along_what_is_below(broker: econtext.Broker) -> None:
    hop = broker.local()
    child = hop.local()
    pids = [hop.call(os.getpid), child.call(os.getpid)]
    waiting = child.submit(work.sleep)
    hop.shutdown()
    with pytest.raises(econtext.ContextLost):
        waiting.result(SECONDS)
    eventually(lambda: not any(leaks.alive(pid) for pid in pids), SECONDS)


def test_shutdown_of_a_context_below_leaves_the_rest(broker: econtext.Broker) -> None:
    hop = broker.local()
    child, sister = hop.local(), hop.local()
    pid = child.call(os.getpid)
    sister.call(os.getpid)
    child.shutdown()
    eventually(lambda: leaks.process(pid) is None, SECONDS, 'the hop has waited for it')
    assert hop.call(os.getpid)
    assert sister.call(os.getpid)


def test_a_context_is_a_context_manager(broker: econtext.Broker) -> None:
    with broker.local() as child:
        pid = child.call(os.getpid)
    assert not leaks.alive(pid)
    with pytest.raises(ZeroDivisionError), broker.local() as child:  # noqa: PT012 -- an error waits for no call
        pid = child.call(os.getpid)
        child.submit(work.sleep)
        raise ZeroDivisionError
    assert not leaks.alive(pid)


@pytest.mark.parametrize('version', VERSIONS)
def test_calls_of_a_lost_context_raise_at_once(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version), name='web')
    below = child.local(name='below')
    pid = child.call(os.getpid)
    below.call(os.getpid)
    futures = [child.submit(work.sleep), child.submit(os.getpid), below.submit(work.sleep)]
    channel = below.channel()
    threads = [
        concurrent.futures.ThreadPoolExecutor(1).submit(below.options(timeout=60).call, os.getpid),
        concurrent.futures.ThreadPoolExecutor(1).submit(lambda: list(channel)),
        concurrent.futures.ThreadPoolExecutor(1).submit(child.call, os.getpid),
    ]
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    for future in futures + threads:
        with pytest.raises(econtext.ContextLost, match=r'web|below'):
            future.result(SECONDS)
    assert time.monotonic() - began < SECONDS
    with pytest.raises(econtext.ContextLost):
        child.call(os.getpid)
    with pytest.raises(econtext.ContextLost):
        child.wait_ready()
    with pytest.raises(econtext.ContextLost):
        child.local()


def test_the_other_contexts_go_on_when_one_is_lost(broker: econtext.Broker) -> None:
    contexts = [broker.local() for _ in range(4)]
    pids = [context.call(os.getpid) for context in contexts]
    os.kill(pids[0], signal.SIGKILL)
    with pytest.raises(econtext.ContextLost):
        contexts[0].call(os.getpid)
    assert [context.call(os.getpid) for context in contexts[1:]] == pids[1:]
    again = broker.local()
    assert again.call(facts.group) == again.call(os.getpid)


@pytest.mark.parametrize('version', VERSIONS)
def test_code_that_ends_its_own_process(broker: econtext.Broker, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version), name='web')
    with pytest.raises(econtext.ContextLost, match='web'):
        child.call(os._exit, 3)
    child = broker.local(python=pythons.interpreter(version), name='web')
    with pytest.raises(econtext.ContextLost, match='web'):
        child.call(os.abort)


def test_no_zombie_while_the_broker_lives(broker: econtext.Broker) -> None:
    hop = broker.local()
    pid = hop.call(os.getpid)
    for _ in range(3):
        os.kill(hop.local().call(os.getpid), signal.SIGKILL)
        os.kill(broker.local().call(os.getpid), signal.SIGKILL)

    def clean() -> bool:
        below = leaks.descendants(os.getpid())
        return not [entry for entry in below if entry.state == 'Z'] and leaks.descendants(pid) == []

    eventually(clean, SECONDS, 'all that ended is waited for')
    assert hop.call(os.getpid) == pid
