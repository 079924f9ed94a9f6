"""What the connectors start, what they refuse to, and local starts end to end."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import sys
import time
import zlib
from types import ModuleType
from typing import Any

import pytest

from econtext.connectors import command as other
from econtext.connectors import docker, local, ssh, su, sudo
from econtext.controller import failures
from econtext.controller.connect import commandline
from econtext.parent import command, handshake, process

CONNECTORS = [local, ssh, sudo]
MARK = b'\0econtext\0\n'
LIMIT = 411  # bytes of the whole command line for a host named foo
SECONDS = 20.0
LINE = command.shell(command.PYTHONS)


def argv(connector: ModuleType, **options: Any) -> list[str]:
    words, _, _ = connector.plan(options)
    assert all(isinstance(word, str) for word in words)
    return list(words)


def test_ssh_command_is_short() -> None:
    assert len(' '.join(argv(ssh, hostname='foo'))) <= LIMIT
    assert len(' '.join(argv(ssh, hostname='foo', python='/usr/bin/python3'))) <= LIMIT


def test_ssh_passes_only_what_was_given() -> None:
    assert argv(ssh, hostname='foo') == ['ssh', '-T', '-oControlMaster=no', 'foo', LINE]
    assert argv(ssh, hostname='foo', username=None, port=None, ssh_args=None) == argv(ssh, hostname='foo')


def test_ssh_arguments_of_the_user_come_first() -> None:
    words = argv(
        ssh,
        hostname='foo',
        username='me',
        port='2222',
        identity_file='/home/my keys/id',
        ssh_args=['-F', 'my config', '-o', 'Port=22'],
        ssh_path='/opt/ssh',
        python=['nice', '/opt/my python'],
    )
    assert words[:-1] == (
        [
            '/opt/ssh',
            '-F',
            'my config',
            '-o',
            'Port=22',
            '-T',
            '-oControlMaster=no',
            '-p',
            '2222',
            '-l',
            'me',
            '-i',
            '/home/my keys/id',
            'foo',
        ]
    )
    assert words[-1] == "exec nice '/opt/my python' -Ec '%s'" % command.CODE


def test_ssh_and_sudo_get_a_terminal_and_a_local_child_none() -> None:
    assert ssh.plan({'hostname': 'foo'})[1:] == (True, {})
    assert sudo.plan({})[1:] == (True, {'LANGUAGE': 'C'})
    assert local.plan({'env': {'A': 'b', 'C': None}})[1:] == (False, {'A': 'b', 'C': None})


def test_sudo() -> None:
    finder = command.argv([sys.executable, *command.PYTHONS])
    assert argv(sudo) == ['sudo', '-H', '-u', 'root', '-p', sudo.PROMPT, '--', *finder]
    assert argv(sudo, username='#0', sudo_path='/opt/sudo', python='python3') == (
        ['/opt/sudo', '-H', '-u', '#0', '-p', sudo.PROMPT, '--', 'python3', '-Ec', command.CODE]
    )


def test_local_is_our_own_interpreter_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert argv(local) == [sys.executable, '-Ec', command.CODE]
    assert argv(local, python=('nice', 'python3')) == ['nice', 'python3', '-Ec', command.CODE]
    monkeypatch.setattr(sys, 'executable', None)  # as in an embedded interpreter
    assert argv(local) == command.argv(command.PYTHONS)


@pytest.mark.parametrize(
    'hostname', [None, '', '-oProxyCommand=x', 'a b', ' a', 'a\n', 'a\tb', 'a\0', 'a\x7f', 5, b'a']
)
def test_ssh_refuses_what_is_no_host(hostname: object) -> None:
    with pytest.raises(ValueError, match='hostname='):
        ssh.plan({'hostname': hostname})


@pytest.mark.parametrize('connector', [ssh, sudo])
@pytest.mark.parametrize('username', ['-x', 'a b', 'a\n', 5])
def test_refuses_what_is_no_user(connector: ModuleType, username: object) -> None:
    options = {'username': username}
    if connector is ssh:
        options['hostname'] = 'foo'
    with pytest.raises(ValueError, match='username='):
        connector.plan(options)


@pytest.mark.parametrize('words', [['-M'], ['-AM'], ['-4MA'], ['-p', '22', '-NM'], ['-oPort=22', '-M']])
def test_ssh_is_no_master_that_stays(words: list[str]) -> None:
    with pytest.raises(ValueError, match='ControlPath'):
        ssh.plan({'hostname': 'foo', 'ssh_args': words})


@pytest.mark.parametrize('words', [['-S', 'M'], ['-pM'], ['-l', '-M'], ['-iM', '-4'], ['-o', 'Port=22']])
def test_ssh_takes_for_a_master_only_what_is_one(words: list[str]) -> None:
    assert ssh.plan({'hostname': 'foo', 'ssh_args': words})[0][1:][: len(words)] == words


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('port', 0),
        ('port', 65536),
        ('port', '-1'),
        ('port', '22 '),
        ('port', 22.5),
        ('identity_file', ''),
        ('identity_file', 'a\nb'),
        ('ssh_args', '-v'),
        ('ssh_args', ['']),
        ('ssh_args', [3]),
        ('ssh_path', ''),
        ('python', ''),
        ('python', []),
    ],
)
def test_ssh_refuses_what_makes_no_sense(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=option + '='):
        ssh.plan({'hostname': 'foo', option: value})


@pytest.mark.parametrize('env', [{'': 'x'}, {'A=B': 'x'}, {'A': 'x\0'}, {'A\n': 'x'}, {'A': 3}])
def test_local_refuses_what_is_no_environment(env: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match='env='):
        local.plan({'env': env})


@pytest.mark.parametrize('connector', CONNECTORS)
def test_unknown_options_are_refused(connector: ModuleType) -> None:
    with pytest.raises(ValueError, match="unknown option 'hotsname'"):
        connector.plan({'hotsname': 'foo'})


def test_a_password_asked_for_means_that_the_named_key_was_refused() -> None:
    assert ssh.lacking({'hostname': 'foo'}) == {}
    assert ssh.lacking({'hostname': 'foo', 'identity_file': 'id'}) == {'password': 'refused-key'}


@pytest.mark.parametrize('words', [['-n'], ['-fv'], ['-v', '-N'], ['-p', '22', '-s']])
def test_arguments_that_keep_the_command_or_its_input_from_the_host_are_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r'^ssh_args= holds -[nfNs], with which'):
        ssh.plan({'hostname': 'foo', 'ssh_args': words})


@pytest.mark.parametrize('connector', CONNECTORS)
def test_tables_are_written_as_they_are_searched(connector: ModuleType) -> None:
    for part, _ in (*connector.PROMPTS, *connector.FAILURES):
        assert part == part.lower()


@pytest.mark.parametrize('connector', CONNECTORS)
def test_every_kind_of_failure_has_a_remedy(connector: ModuleType) -> None:
    kinds = {kind for _, kind in connector.FAILURES} | {connector.MISSING}
    if hasattr(connector, 'lacking'):
        kinds |= {*connector.lacking({'identity_file': 'id'}).values()}
    kinds |= {*getattr(connector, 'STATUSES', {}).values()}
    kinds |= {*handshake.LACKING.values(), *handshake.STATUSES.values(), 'noise', 'ended', 'timeout'}
    assert kinds <= set(failures.REMEDIES)


@pytest.mark.parametrize('kind', failures.REMEDIES)
def test_a_remedy_is_one_imperative_sentence(kind: str) -> None:
    happened, remedy = failures.explain(kind)
    assert happened[0].islower()
    assert not happened.endswith('.')
    assert remedy[0].isupper()
    assert remedy.endswith('.')
    assert '. ' not in remedy


@pytest.mark.parametrize(('connector', 'options'), [
    (local, {}), (local, {'python': 'p y', 'cwd': '/a\nb'}), (ssh, {'hostname': 'h'}),
    (ssh, {'hostname': 'h', 'one_trip': True}),
    (ssh, {'hostname': 'h', 'python': "it's"}), (sudo, {}), (su, {}), (docker, {'container': 'c'}),
    (other, {'argv': ['x', '$y'], 'shell': True}),
])  # fmt: skip
def test_a_command_is_readable(connector: ModuleType, options: dict[str, Any]) -> None:
    """What is left are the connector's words; nothing of what starts Python, and nothing that a terminal obeys."""
    shown = commandline.readable(connector, options, None)
    argv = connector.plan(options)[0]
    words = shlex.split(shown)
    assert '…' in shown
    assert shown.isprintable()
    assert 'import' not in shown
    assert len(words) == len(argv)
    for word, real in zip(words, argv, strict=True):
        before = word.split('…')[0]
        assert real.startswith(before)
        assert word == real or '…' in word


def test_an_unknown_kind_is_explained_too() -> None:
    assert failures.explain('from the future') == failures.explain('ended')


def test_the_interpreter_that_was_named_is_the_one_that_lacks() -> None:
    for name, words in ('python4', 'no program called python4'), ('/opt/py', 'no interpreter can be executed as /opt'):
        what, remedy = failures.explain('no-python', f'it is not there\ntried: {name}')
        assert what.startswith(words)
        assert 'leave python= out' in remedy
    for detail in '', 'tried: python3, python, python2, /usr/libexec/platform-python':
        assert failures.explain('no-python', detail) == failures.REMEDIES['no-python']


def connect(connector: ModuleType, options: dict[str, Any], preamble: bytes) -> tuple[Any, ...]:
    """Start a child and return the handshake's verdict; nothing stays open or running."""
    child = process.spawn(*connector.plan(options))
    watch = handshake.Handshake(MARK, connector.PROMPTS, connector.FAILURES, {})
    ways = {child.stdout: 'out', child.stderr: 'err'}
    deadline = time.monotonic() + SECONDS
    try:
        with contextlib.suppress(BrokenPipeError):  # it may have ended already
            os.write(child.stdin, preamble)
        while ways:
            ready, _, _ = select.select(list(ways), [], [], max(0, deadline - time.monotonic()))
            assert ready, 'nothing comes'
            for fd in ready:
                data = os.read(fd, 4096)
                events = watch.feed(ways[fd], data)
                if events:
                    return tuple(events[-1])
                if not data:
                    del ways[fd]
        while child.poll() is None:
            assert time.monotonic() < deadline, 'it does not end'
            select.select([], [], [], 0.005)
        return ('failed', *watch.ended(child.status))
    finally:
        child.close()
        while child.poll() is None:
            select.select([], [], [], 0.005)


def test_a_local_child_comes_up() -> None:
    preamble = zlib.compress(b"import os; os.write(1, %r + os.environ['ECONTEXT_T'].encode() + d.unused_data)" % MARK)
    verdict = connect(local, {'env': {'ECONTEXT_T': 'hello '}}, preamble + b'frames')
    assert verdict == ('ready', b'hello frames')


@pytest.mark.parametrize(
    ('python', 'kind', 'words'),
    [
        (['sh', '-c', 'exit 127'], 'no-python', ''),
        (['sh', '-c', 'exit 3'], 'ended', ''),
        (['sh', '-c', 'echo "Fatal Python error: no encodings" >&2; exit 1'], 'broken-python', 'no encodings'),
        (['sh', '-c', 'while :; do echo noise; done'], 'noise', 'noise\nnoise'),
        (['env', 'no-such-python'], 'no-python', 'no-such-python'),
    ],
)
def test_a_local_child_does_not_come_up(python: list[str], kind: str, words: str) -> None:
    verdict = connect(local, {'python': python}, zlib.compress(b'pass') + b'x')
    assert verdict[:2] == ('failed', kind)
    assert words in verdict[2]
