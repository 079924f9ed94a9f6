"""`econtext doctor`: what works on the way to a host, and what to do about the rest."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import econtext
from econtext.controller import failures
from econtext.controller.doctor import probe
from econtext.controller.doctor.network import Note
from econtext.controller.doctor.trials import Trials
from lab import pythons, require
from lab.accounts import Accounts
from lab.sshd import Sshd, make_key, reserved_port
from lab.terminals import Typing

SECONDS = 100   # for a program of the command line, which starts several others on a busy machine
STEPS = ['client', 'configuration', 'name', 'network', 'login', 'shell', 'interpreter', 'bootstrap', 'call', 'modules',
         'clock', 'start-up', 'output', 'round trip', 'throughput', 'end']  # fmt: skip


def fails(report: econtext.Report, name: str, kind: str) -> econtext.Step:
    step = report.failed
    assert step is not None, report
    assert (step.name, step.kind) == (name, kind), report
    assert step is report.steps[-1], 'the first failure is the end'
    assert step.remedy == failures.REMEDIES[kind][1]
    assert step.remedy in str(report)
    assert not report.ok
    return step


def test_a_healthy_host(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> None:
    told: list[econtext.Step] = []
    args = sshd.ssh_args(accounts['plain'].name)
    report = econtext.doctor(broker, 'lab', ssh_args=args, progress=told.append)
    assert report.ok, report
    assert [step.name for step in report.steps] == STEPS
    assert {step.outcome for step in report.steps} == {'ok'}, report
    assert {step.outcome for step in told} == {'ok', 'running'}
    assert [step for step in told if step.outcome != 'running'] == report.steps
    found = {step.name: step.detail for step in report.steps}
    assert f'{accounts["plain"].name}@127.0.0.1 port {sshd.port}' in found['configuration']
    assert 'OpenSSH' in found['client']
    assert 'SSH-2.0-OpenSSH' in found['network']
    assert '/bash' in found['shell']
    assert 'python3' in found['interpreter']
    assert 'MB/s' in found['throughput']
    assert os.path.isabs(report.executable)
    assert report.python_version >= (3, 6)
    assert sum(step.seconds for step in report.steps) > 0
    assert len(broker._tree.contexts) == len(broker._tree.unreaped) == 0, 'it ended what it started'


@pytest.mark.parametrize(('kind', 'options', 'step', 'failure'), [
    ('nologin', {}, 'shell', 'no-login'),
    ('false', {}, 'shell', 'no-login'),
    ('expired', {}, 'login', 'expired-password'),
    ('plain', {'python': '/no/such/python'}, 'interpreter', 'no-python'),
    ('plain', {'python': '/etc/passwd'}, 'interpreter', 'broken-python'),
    ('plain', {'ssh_path': '/no/such/ssh'}, 'client', 'not-found'),
    ('tcsh', {'python': ['false']}, 'bootstrap', 'ended'),
    ('plain', {'python': ['/bin/sh', '-c', 'echo no more room >&2; exit 3']}, 'bootstrap', 'ended'),
])  # fmt: skip
def test_the_step_that_fails(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts,
    kind: str, options: dict[str, Any], step: str, failure: str,
) -> None:  # fmt: skip
    args = sshd.ssh_args(accounts[kind].name)
    report = econtext.doctor(broker, 'lab', ssh_args=args, **options)
    fails(report, step, failure)
    before = [each.name for each in report.steps[:-1]]
    assert before == STEPS[: STEPS.index(step)]
    assert {each.outcome for each in report.steps[:-1]} <= {'ok'}, report


def test_a_login_that_is_refused_shows_what_was_offered(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, tmp_path: Path
) -> None:
    make_key(tmp_path / 'stranger')
    args = ['-o', f'IdentityFile={tmp_path}/stranger', '-F', str(sshd.config), '-l', accounts['plain'].name]
    config = tmp_path / 'config'
    config.write_text(sshd.config.read_text().replace(str(sshd.key), str(tmp_path / 'stranger')))
    args = ['-F', str(config), '-l', accounts['plain'].name]
    step = fails(econtext.doctor(broker, 'lab', ssh_args=args), 'login', 'password-required')
    assert f'Offering public key: {tmp_path}/stranger' in step.lines
    assert 'Authentications that can continue: publickey,password' in step.lines


def test_a_password_is_typed_once(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> None:
    args = [*sshd.ssh_args(), '-o', 'PubkeyAuthentication=no']
    asked: list[str] = []

    def password(question: str) -> str:
        asked.append(question)
        return accounts['plain'].password

    name = accounts['plain'].name
    assert econtext.doctor(broker, 'lab', username=name, ssh_args=args, password=password).ok
    assert len(asked) == 1
    wrong = econtext.doctor(broker, 'lab', username=name, ssh_args=args, password='wrong')
    fails(wrong, 'login', 'wrong-password')


def test_noise_is_a_note_and_no_failure(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> None:
    report = econtext.doctor(broker, 'lab', ssh_args=sshd.ssh_args(accounts['noisy'].name))
    assert report.ok, report
    notes = [step for step in report.steps if step.outcome == 'note']
    assert [step.name for step in notes] == ['shell'], '\n'.join(map(str, report.steps))
    assert notes[0].detail.endswith('; 2 lines of noise')
    assert notes[0].lines == 'stdout: BANNER stdout\nstderr: BANNER stderr'
    assert 'Silence' in notes[0].remedy


def late_errors(folder: Path) -> tuple[Path, Path]:
    """Return a program that runs its arguments, and the pipe that lets it pass on what those said on standard error."""
    gate, said, program = folder / 'gate', folder / 'said', folder / 'late'
    os.mkfifo(gate)
    program.write_text(
        f'#!/bin/sh\n(read word <{gate}; cat {said} >&2) </dev/null >/dev/null &\n'
        f'exec 2>{said}\necho BANNER >&2\nexec "$@"\n')
    program.chmod(0o755)
    return program, gate


def test_noise_is_told_that_comes_when_the_context_is_ready(
    broker: econtext.Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over a network, which may bring standard error later than standard output."""
    program, gate = late_errors(tmp_path)
    wait_ready = econtext.Context.wait_ready

    def then_errors_come(context: econtext.Context, timeout: float | None = None) -> econtext.Context:
        try:
            return wait_ready(context, timeout)
        finally:
            gate.write_text('go\n')

    monkeypatch.setattr(econtext.Context, 'wait_ready', then_errors_come)
    report = econtext.doctor(broker, connector='command', argv=[str(program)], python=sys.executable)
    assert report.ok, report
    assert [step.name for step in report.steps][:5] == ['client', 'login', 'shell', 'interpreter', 'bootstrap'], report
    notes = [step for step in report.steps if step.outcome == 'note']
    assert [(step.name, step.lines) for step in notes] == [('shell', 'stderr: BANNER')], report


def test_a_probe_that_is_never_heard_is_not_waited_for_long(
    broker: econtext.Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, 'LATE', 0.01)
    program = tmp_path / 'mute'
    program.write_text('#!/bin/sh\nexec "$@" 2>/dev/null\n')
    program.chmod(0o755)
    report = econtext.doctor(broker, connector='command', argv=[str(program)])
    assert report.ok, report
    assert [step.name for step in report.steps][:2] == ['client', 'bootstrap'], report


def test_a_slow_shim_is_told(broker: econtext.Broker, tmp_path: Path) -> None:
    shim = tmp_path / 'python3'
    shim.write_text(f'#!/bin/sh\nsleep 2\nexec {sys.executable} "$@"\n')
    shim.chmod(0o755)
    report = econtext.doctor(broker, connector='local', python=str(shim))
    assert report.ok, report
    (note,) = [step for step in report.steps if step.outcome == 'note']
    assert note.name == 'start-up'
    assert f'python={report.executable!r}' in note.remedy


def test_a_start_that_was_slow_once_is_no_shim(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a host with other work, which holds up either of the two now and then."""
    context: Any = SimpleNamespace(executable='/usr/bin/python3')
    trials = Trials(context, 10.0)
    seconds = [0.1, 0.9, 0.1, 0.12]
    monkeypatch.setattr(trials, 'limited', lambda *args: seconds.pop(0))
    assert isinstance(trials.start_up('python3'), str)
    seconds = [0.1, 0.9] * 3
    assert isinstance(trials.start_up('python3'), Note)


def test_nobody_there(broker: econtext.Broker, tmp_path: Path) -> None:
    plain = ['-F', '/dev/null']
    fails(econtext.doctor(broker, 'no-such-host.invalid', ssh_args=plain), 'name', 'no-such-host')
    with reserved_port() as port:
        fails(econtext.doctor(broker, '127.0.0.1', port=port, ssh_args=plain), 'network', 'connection-refused')
    wrong = econtext.doctor(broker, 'h', ssh_args=['-o', 'NoSuchOption=1'])
    assert 'nosuchoption' in fails(wrong, 'configuration', 'ended').lines


def test_a_server_that_says_nothing_and_one_that_hangs_up(broker: econtext.Broker) -> None:
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen()
        port = silent.getsockname()[1]
        options: dict[str, Any] = {'port': port, 'ssh_args': ['-F', '/dev/null']}
        fails(econtext.doctor(broker, '127.0.0.1', connect_timeout=3, **options), 'network', 'timeout')
        # The way through a proxy is ssh's alone.
        jump = ['-F', '/dev/null', '-o', 'ProxyCommand=sleep 600']
        report = econtext.doctor(broker, 'h', connect_timeout=3, ssh_args=jump)
        fails(report, 'login', 'timeout')
        assert 'by proxycommand sleep 600' in str(report)

        def hang_up() -> None:
            # Those of before wait in the queue.
            for _ in range(9):
                silent.accept()[0].close()

        hanging = threading.Thread(target=hang_up, daemon=True)
        hanging.start()
        fails(econtext.doctor(broker, '127.0.0.1', connect_timeout=60, **options), 'network', 'hung-up')
        while hanging.is_alive():
            socket.create_connection(('127.0.0.1', port)).close()
            hanging.join(0.01)


@pytest.mark.parametrize('option', ['StdinNull yes', 'ForkAfterAuthentication yes', 'SessionType none'])
def test_a_configuration_that_keeps_the_command_from_the_host(
    broker: econtext.Broker, tmp_path: Path, option: str
) -> None:
    config = tmp_path / 'config'
    config.write_text(f'{option}\n')
    step = fails(econtext.doctor(broker, '127.0.0.1', ssh_args=['-F', str(config)]), 'configuration', 'no-command')
    assert step.lines == option.lower()


def test_a_proxy_that_ends_is_told_from_a_server_that_does(broker: econtext.Broker) -> None:
    options = {'ssh_args': ['-F', '/dev/null', '-o', 'ProxyCommand=echo no way >&2; false']}
    fails(econtext.doctor(broker, 'h', **options), 'network', 'proxy-ended')


def test_sudo_on_a_host(broker: econtext.Broker, sshd: Sshd, accounts: Accounts) -> None:
    def via(kind: str) -> econtext.Context:
        return broker.ssh('lab', ssh_args=sshd.ssh_args(accounts[kind].name), name=kind)

    good = econtext.doctor(via('nopw'), connector='sudo')
    assert good.ok, good
    assert good.subject == 'sudo from nopw'
    assert [step.name for step in good.steps] == ['bootstrap', *STEPS[8:11], *STEPS[12:]]
    fails(econtext.doctor(via('sudo'), connector='sudo', password='wrong'), 'login', 'wrong-password')
    fails(econtext.doctor(via('plain'), connector='sudo', password='pw-ect_plain'), 'login', 'not-allowed')


def test_every_python(broker: econtext.Broker) -> None:
    for version in ('2.7', '3.6', '3.13'):
        report = econtext.doctor(broker, connector='local', python=pythons.interpreter(version))
        assert report.ok, report
        assert report.python_version[:2] == tuple(int(part) for part in version.split('.'))


def test_a_broker_of_its_own_and_bad_options() -> None:
    report = econtext.doctor(None, connector='local')
    assert report.ok, report
    with pytest.raises(TypeError):
        econtext.doctor(None, 'h', nonsense=1)
    with pytest.raises(ValueError, match='hostname'):
        econtext.doctor(None, '-oProxyCommand=x')
    with pytest.raises(ValueError, match='no_such_connector'):
        econtext.doctor(None, connector='no_such_connector')


# -- The command line ---------------------------------------------------------


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'econtext', *words], capture_output=True, text=True, timeout=SECONDS,
        stdin=subprocess.DEVNULL)  # fmt: skip


@pytest.mark.deadline(300)
def test_command_line(sshd: Sshd, accounts: Accounts) -> None:
    args = ['-F', str(sshd.config), '-l', accounts['nopw'].name]
    done = command('doctor', 'lab', *args, '--sudo')
    assert done.returncode == 0, done
    words = [line.split()[:2] for line in done.stdout.splitlines()]
    assert words.count(['ok', 'end']) == 2
    assert ['sudo', 'to'] in words
    assert done.stderr == ''


@pytest.mark.parametrize('words', [
    ('--help',), ('--version',), ('doctor', '--help'), ('doctor', '--by', 'local'),
    ('doctor', '--by', 'local', '--json'),
])  # fmt: skip
@pytest.mark.parametrize('buffered', [True, False])
def test_command_line_ends_quietly_where_nobody_reads_it(words: tuple[str, ...], buffered: bool) -> None:
    """As `econtext doctor web1 | head -1`: no traceback, and what a shell says of SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONUNBUFFERED'}
    if not buffered:
        environment['PYTHONUNBUFFERED'] = '1'
    try:
        done = subprocess.run(
            [sys.executable, '-m', 'econtext', *words], stdout=writing, stderr=subprocess.PIPE, text=True,
            timeout=SECONDS, stdin=subprocess.DEVNULL, env=environment)  # fmt: skip
    finally:
        os.close(writing)
    assert done.stderr == ''
    # Where argparse writes it notes no error.
    assert done.returncode == 141 or (done.returncode == 0 and words[-1] in ('--help', '--version'))


@pytest.mark.deadline(300)
def test_command_line_says_why_not(sshd: Sshd, accounts: Accounts) -> None:
    args = ['-F', str(sshd.config), '-l', accounts['nologin'].name]
    done = command('doctor', 'lab', *args)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].strip() == '-> ' + failures.REMEDIES['no-login'][1]
    assert 'account is currently not available' in done.stdout
    assert done.stderr == ''
    told = json.loads(command('doctor', 'lab', *args, '--json').stdout)
    assert told[0]['steps'][-1]['kind'] == 'no-login'


@pytest.mark.deadline(300)
def test_command_line_that_makes_no_sense() -> None:
    assert command('doctor').returncode == command().returncode == command('doctor', '-p', 'x', 'h').returncode == 2
    bad = command('doctor', '--by', 'no_such')
    assert bad.returncode == 2
    assert 'no_such' in bad.stderr


@pytest.mark.deadline(300)
def test_a_host_behind_another(sshd: Sshd, accounts: Accounts) -> None:
    nopw = accounts['nopw']
    folder = nopw.home / f'client-{os.getpid()}'     # runs may overlap
    folder.mkdir(exist_ok=True)
    os.chown(folder, nopw.uid, nopw.gid)
    sshd.give_client(folder, nopw.uid, nopw.gid)
    hop = ['-F', str(folder / '.ssh/config'), '-l', nopw.name]
    done = command('doctor', 'lab-two', '--via', 'lab', *hop)
    assert done.returncode == 0, done


def test_on_a_terminal_progress_shows() -> None:
    require('ssh')
    import pty

    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, '-m', 'econtext', 'doctor', '--by', 'local'], stdin=slave, stdout=slave, stderr=slave
    ) as program:
        os.close(slave)
        text = b''
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            text += piece
        os.close(master)
    assert program.returncode == 0, text
    assert b'throughput ...' in text
    assert b'MB/s' in text


def test_the_package_imports_none_of_it() -> None:
    code = 'import sys, econtext; econtext.Broker; print(*sys.modules)'
    names = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()
    assert not {'argparse', 'rich', 'econtext.cli', 'econtext.controller.doctor.examination'} & set(names)


@pytest.mark.parametrize(('connector', 'target'), [('su', ()), ('unshare', ()), ('chroot', ('/',))])
def test_other_connectors(broker: econtext.Broker, connector: str, target: tuple[str, ...]) -> None:
    require('setpriv')
    report = econtext.doctor(broker, *target, connector=connector)
    assert report.ok, report
    assert 'interpreter' in [step.name for step in report.steps]


def test_a_remedy_names_options_as_the_command_line_has_them() -> None:
    with reserved_port() as port:
        done = command('doctor', '127.0.0.1', '-p', str(port), '-F', '/dev/null')
    assert done.returncode == 1
    assert 'or correct --port.' in done.stdout


# -- A key that is not known --------------------------------------------------


@pytest.fixture
def strange(sshd: Sshd, accounts: Accounts, tmp_path: Path) -> tuple[list[str], Path]:
    """The words that lead to a host whose key is not known, and the file of known keys."""
    hosts = tmp_path / 'hosts'
    hosts.touch()
    asking = ['-o', f'UserKnownHostsFile={hosts}', '-o', 'StrictHostKeyChecking=ask']
    return ['lab', *asking, *sshd.ssh_args(accounts['nopw'].name)], hosts


@pytest.mark.deadline(300)
def test_a_person_is_asked_about_a_key_that_is_not_known(sshd: Sshd, strange: tuple[list[str], Path]) -> None:
    way, hosts = strange
    typing = Typing('doctor', *way)
    typing.expect(f'{sshd.fingerprint()}.\r\n')
    typing.expect('(yes/no/[fingerprint])? ')
    typing.type('no\r')
    typing.expect("the host's key is not known")
    assert typing.end() == 1
    assert hosts.read_text() == ''
    typing = Typing('doctor', *way, '--sudo')
    typing.expect('(yes/no/[fingerprint])? ')
    typing.type(f'{sshd.fingerprint()}\r')
    typing.expect('commands run there')
    typing.expect('sudo to root')
    assert typing.end() == 0
    assert hosts.read_text() != ''


@pytest.mark.deadline(300)
def test_nobody_is_asked_about_a_key_without_a_terminal(strange: tuple[list[str], Path]) -> None:
    way, hosts = strange
    done = command('doctor', *way)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].strip().startswith('-> Type the command in a terminal: it shows the')
    assert done.stderr == ''
    typing = Typing('doctor', '--json', *way)
    typing.expect('"unknown-host-key"')
    assert typing.end() == 1
    assert hosts.read_text() == ''


@pytest.mark.deadline(300)
def test_a_password_is_asked_for_in_a_terminal(sshd: Sshd, accounts: Accounts) -> None:
    words = ['doctor', 'lab', *sshd.ssh_args(accounts['sudo'].name), '--sudo']
    typing = Typing(*words)
    typing.expect('sudo to root')
    typing.expect('assword')
    typing.type(f'{accounts["sudo"].password}\r')
    assert typing.end() == 0
    without = command(*words)
    assert without.returncode == 1
    assert '-> Type the command in a terminal, which asks for it' in without.stdout
    assert 'password=' not in without.stdout


@pytest.mark.deadline(300)
def test_a_host_is_named_as_for_other_commands(sshd: Sshd, accounts: Accounts) -> None:
    name = accounts['nopw'].name
    done = command('doctor', f'{name}@lab:{sshd.port}', '-F', str(sshd.config), '--json')
    assert done.returncode == 0, done
    assert f'{name}@127.0.0.1 port {sshd.port}' in done.stdout
    assert command('doctor', 'local').returncode == 0
    assert command('doctor', 'lab:port').returncode == 2
    hops = command('doctor', 'local', '-J', 'lab,lab-two', '-F', str(sshd.config), '-l', accounts['plain'].name)
    assert hops.returncode == 1
    assert hops.stderr.startswith('econtext: lab-two: '), hops
