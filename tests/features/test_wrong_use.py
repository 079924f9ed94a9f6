"""What a new user does wrong is told with the remedy, before anything is sent where that can be known."""

from __future__ import annotations

import asyncio
import errno
import io
import operator
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from errands import streams, work, wrong

import econtext
from lab.accounts import Accounts
from lab.sshd import Sshd


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


# -- functions that return before they have run ------------------------------

LATER: list[tuple[Callable[..., Any], str]] = [
    (wrong.promise, 'call(promise, '),
    (wrong.promise_many, 'asyncio.run()'),
    (wrong.Things.promise, 'call(Things.promise, '),
]


@pytest.mark.parametrize(('function', 'remedy'), [LATER[1], (wrong.generate, 'stream(generate')])
def test_a_function_that_returns_later_is_refused_before_it_is_sent(
    broker: econtext.Broker, function: Callable[..., Any], remedy: str
) -> None:
    child = broker.local()
    for use in child.call, child.submit, child.options(timeout=5).call:
        with pytest.raises(TypeError) as caught:
            use(function, 1)
        assert not isinstance(caught.value, econtext.CallError)
        assert remedy in str(caught.value)
    assert 'errands.wrong' not in child._node.sent


@pytest.mark.parametrize(('function', 'remedy'), LATER)
def test_what_is_awaited_is_no_stream(
    child: econtext.Context, function: Callable[..., Any], remedy: str
) -> None:
    with pytest.raises(TypeError) as caught:
        child.stream(function)
    assert remedy in str(caught.value)


def test_a_generator_function_streams_and_is_still_refused_by_call(child: econtext.Context) -> None:
    for _ in range(2):
        assert list(child.stream(wrong.generate, 3)) == [0, 1, 2]
        with pytest.raises(TypeError, match=r'stream\(generate'):
            child.call(wrong.generate, 3)


@pytest.mark.parametrize(('function', 'remedy'), [
    (wrong.makes_a_promise, 'asyncio.run()'),
    (wrong.makes_many, 'asyncio.run()'),
    (wrong.makes_a_generator, 'stream()'),
])  # fmt: skip
def test_a_result_that_would_come_later_names_the_remedy(
    child: econtext.Context, function: Callable[..., Any], remedy: str
) -> None:
    with pytest.raises(econtext.CallError) as caught:
        child.call(function)
    assert remedy in str(caught.value)
    if function is not wrong.makes_a_generator:
        with pytest.raises(TypeError, match=r'asyncio\.run'):
            list(child.stream(function))


def test_a_stream_of_what_is_no_series_names_call(child: econtext.Context) -> None:
    with pytest.raises(TypeError, match=r'call\(\)'):
        list(child.stream(os.getpid))


# -- modules -----------------------------------------------------------------


@pytest.mark.every_python
def test_a_module_that_works_here_alone_is_told_from_its_function(
    broker: econtext.Broker, python: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ECONTEXT_ONLY_HERE', '1')
    from errands import only_here

    child = broker.local(python=python, env={'ECONTEXT_ONLY_HERE': None})
    with pytest.raises(KeyError) as caught:
        child.call(only_here.told)
    assert "under if __name__ == '__main__'" in str(caught.value)
    with pytest.raises(KeyError) as within:
        child.call(operator.getitem, {}, 'ECONTEXT_ONLY_HERE')
    assert '__main__' not in str(within.value)


# -- values ------------------------------------------------------------------


def values(broker: econtext.Broker, child: econtext.Context) -> Iterator[tuple[Any, str]]:
    yield threading.Lock(), 'make one there'
    yield threading.Event(), 'make one there'
    yield io.BytesIO(), 'bytes that are in it'
    yield (number for number in range(3)), 'a list of its values'
    yield [].append, 'what it needs of the object'
    yield lambda: 1, 'a function of a module'
    yield os, 'import it there'
    yield broker, 'what is needed of it'
    yield child.submit(os.getpid), 'what is needed of it'


def test_what_is_bound_to_this_process_is_told_from_what_could_be_registered(
    broker: econtext.Broker, child: econtext.Context
) -> None:
    for value, remedy in values(broker, child):
        with pytest.raises(TypeError) as caught:
            child.call(print, value)
        assert remedy in str(caught.value)
        assert 'econtext.register' not in str(caught.value)

    class Event:
        pass

    with pytest.raises(TypeError, match=r'econtext\.register'):
        child.call(print, Event())


# -- habits --------------------------------------------------------------------


HABITS = {
    'capture_output': 'leave it out: the result has', 'stdout': 'leave it out: the result has', 'stderr': '2>&1',
    'stdin': 'input=', 'shell': 'a text', 'universal_newlines': 'text=', 'encoding': 'text=False',
    'errors': 'text=False',
    'executable': 'first word', 'user': "sudo('deploy')", 'sudo': "sudo('deploy')", 'become': "sudo('deploy')",
    'start_new_session': 'process group of its own', 'preexec_fn': 'umask 077', 'umask': 'umask 077',
    'bufsize': 'leave it out', 'args': 'first, without a name', 'argv': 'first, without a name',
    'retries': 'there are check=, capture=, input=, env=, extend_env=, cwd=, timeout=, text=',
}  # fmt: skip


@pytest.mark.parametrize('name', HABITS)
def test_an_option_of_subprocess_is_told_by_what_to_write(
    broker: econtext.Broker, child: econtext.Context, name: str
) -> None:
    for method in child.run, broker.fleet(['a'], connector='local').run, child.run_lines:
        wrong: Any = method
        with pytest.raises(TypeError) as caught:
            wrong(['true'], **{name: 'a secret'})
        assert str(caught.value).startswith(f'{method.__name__}() has no {name}=: ')
        assert 'a secret' not in str(caught.value)
        if method == child.run_lines and name in ('capture_output', 'stdout'):
            assert 'write capture=True' in str(caught.value)
        else:
            assert HABITS[name] in str(caught.value)
    assert 'econtext.child.running' not in child._node.sent


def test_an_option_of_subprocess_is_told_by_what_to_await() -> None:
    async def main() -> None:
        async with econtext.aio.Broker() as broker:
            child: Any = broker.local()
            fleet = broker.fleet(['a'], connector='local')
            for wait in child.run(['true'], shell=True), fleet.run(['true'], shell=True):
                with pytest.raises(TypeError, match=r'^run\(\) has no shell=: '):
                    await wait
            with pytest.raises(TypeError, match=r'^run_lines\(\) has no shell=: '):
                child.run_lines(['true'], shell=True)

    asyncio.run(main())


def test_a_command_is_one_argument(broker: econtext.Broker, child: econtext.Context) -> None:
    for method in child.run, child.run_lines, broker.fleet(['a'], connector='local').run:
        wrong: Any = method
        for words in (), ('ls', '-l'), ('ls', '-l', '/a/secret'):
            with pytest.raises(TypeError, match=r'\(\) takes a command as one argument: a list') as caught:
                wrong(*words)
            assert 'secret' not in str(caught.value)
    with pytest.raises(TypeError, match=r'must be a text, bytes or a path, not 1: write str\(\)'):
        child.run(['sleep', 1])  # type: ignore[list-item]


def test_a_line_for_a_shell_in_a_list_is_told_as_that(child: econtext.Context) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        child.run(['ls -l'])
    assert 'without the brackets' in str(caught.value)
    with pytest.raises(FileNotFoundError) as other:
        child.run(['/no/such', '-l'])
    assert 'brackets' not in str(other.value)


@pytest.mark.parametrize('given', ['a secret', None, 3, b'a secret', ['a secret']])
def test_what_was_called_already_is_no_function(child: econtext.Context, given: Any) -> None:
    for method in child.call, child.submit, child.stream:
        wrong: Any = method
        with pytest.raises(TypeError, match=r'not call\(f\(1\)\)') as caught:
            wrong(given)
        assert 'secret' not in str(caught.value)


def test_what_a_broker_does_not_do_names_who_does(broker: econtext.Broker) -> None:
    awaited = econtext.aio.Broker(blocking=broker)
    for name in 'call', 'run', 'stream', 'put':
        for each in broker, awaited:
            with pytest.raises(AttributeError, match=rf"^'Broker' object has no attribute '{name}': .*broker.ssh"):
                getattr(each, name)
    with pytest.raises(AttributeError, match=r"^'Broker' object has no attribute 'nonsense'$"):
        getattr(broker, 'nonsense')  # noqa: B009
    with pytest.raises(TypeError, match=r"broker\.ssh\('web1'\)"):
        econtext.Context('web1')  # type: ignore[arg-type]


# -- select ------------------------------------------------------------------


def test_select_takes_streams_beside_channels(broker: econtext.Broker) -> None:
    child, other, third = broker.local(), broker.local(), broker.local()
    channel = other.channel()
    other.submit(streams.count, channel, 3)
    stream, failing = child.stream(wrong.generate, 4), third.stream(wrong.fails_later, 1)
    got: dict[Any, list[Any]] = {channel: [], stream: [], failing: []}
    for source, value in econtext.select([channel, stream, failing], timeout=60):
        got[source].append(value)
    assert got[channel] == [0, 1, 2]
    assert got[stream] == [0, 1, 2, 3]
    assert got[failing][0] == 0
    assert isinstance(got[failing][1], ValueError)
    assert isinstance(got[failing][1], econtext.CallError)
    assert len(got[failing]) == 2
    assert list(stream) == []


def test_select_ends_a_stream_at_its_deadline(child: econtext.Context) -> None:
    late = child.options(timeout=0.3).stream(work.count_slowly)
    events = [value for _, value in econtext.select([late], timeout=60)]
    assert isinstance(events[-1], econtext.CallTimeout)
    assert not any(isinstance(event, Exception) for event in events[:-1])


def test_select_leaves_out_a_stream_that_was_closed(child: econtext.Context) -> None:
    stream = child.stream(wrong.generate, 1000)
    next(stream)
    stream.close()
    assert list(econtext.select([stream])) == []


def test_select_says_what_it_takes(child: econtext.Context) -> None:
    for wrongs, remedy in (
        (child.channel(), 'list'), (child.stream(wrong.generate, 1), 'list'), ([child], r'channel\(\)'),
        (child.submit(os.getpid), 'list'), ([3], r'submit\(\)'),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=remedy):
            econtext.select(wrongs)  # type: ignore[type-var, arg-type]


# -- hosts and programs ------------------------------------------------------


@pytest.mark.parametrize(('hostname', 'remedies'), [
    ('web:22', ["hostname='web'", 'port=22']),
    ('deploy@web:2222', ["hostname='web'", "username='deploy'", 'port=2222']),
    ('ssh://deploy@web:22', ["hostname='web'", "username='deploy'", 'port=22']),
    ('ssh://web', ["hostname='web'"]),
    ('https://web/path', ["hostname='web'"]),
    ('ssh://[fe80::1]:22/', ["hostname='fe80::1'", 'port=22']),
    ('[::1]:22', ["hostname='::1'", 'port=22']),
    ('[::1]', ["hostname='::1'"]),
    ('deploy@[::1]:22', ["hostname='::1'", "username='deploy'", 'port=22']),
    ('web:', ['port=']),
    ('web:ssh', ['port=']),
    ('web:/srv', ['hostname=']),
    ('web/', ['path']),
    ('deploy@', ['lacks']),
    ('@web', ['lacks']),
    ('two words', ['hostname=']),
    ('-oProxyCommand=x', ['hostname=']),
])  # fmt: skip
def test_what_says_more_than_a_host_is_refused_with_the_options_for_it(
    broker: econtext.Broker, hostname: str, remedies: list[str]
) -> None:
    with pytest.raises(ValueError, match='hostname=') as caught:
        broker.ssh(hostname)
    for remedy in remedies:
        assert remedy in str(caught.value)


@pytest.mark.parametrize('hostname', [
    'web', 'web.example.com',
    'deploy@web', '::1', 'fe80::1%eth0', '2001:db8::22', '127.0.0.1', 'a_b-c', 'DOMAIN+me@web',
])  # fmt: skip
def test_what_ssh_takes_as_a_host_is_taken(broker: econtext.Broker, hostname: str) -> None:
    assert broker.ssh(hostname, ssh_path='/no/such/ssh').name == hostname


def fails(context: econtext.Context, kind: str) -> econtext.ConnectError:
    with pytest.raises(econtext.ConnectError) as caught:
        context.wait_ready()
    assert caught.value.kind == kind
    return caught.value


def test_a_path_that_was_given_is_named_and_to_be_corrected(broker: econtext.Broker, tmp_path: Path) -> None:
    (tmp_path / 'plain').touch()
    for path in '/no/such/program', str(tmp_path), str(tmp_path / 'plain'), str(tmp_path / 'plain' / 'below'):
        error = fails(broker.ssh('web', ssh_path=path), 'not-found')
        assert error.what == f'{path} cannot be executed'
        assert 'Correct that path' in error.remedy
        error = fails(broker.local(python=path), 'no-python')
        assert path in error.what
        assert 'Correct that path' in error.remedy
    error = fails(broker.ssh('web', ssh_path='no-such-ssh'), 'not-found')
    assert 'Install it' in error.remedy
    assert f'on PATH={os.environ["PATH"]}' in error.lines


def test_words_in_one_text_are_no_path_of_an_interpreter(broker: econtext.Broker) -> None:
    with pytest.raises(ValueError, match='give a list'):
        broker.local(python='python3 -O')


def test_without_descriptors_left_the_limit_is_named(broker: econtext.Broker) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    broker.local().wait_ready()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir('/proc/self/fd'))) + 8, limits[1]))
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError as error:
                assert error.errno == errno.EMFILE  # noqa: PT017
                break
        error = fails(broker.local(), 'limits')
        assert 'open files' in error.remedy
        assert 'the machine that connects' in str(error)
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_key_that_is_not_there_is_the_cause(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, tmp_path: Path
) -> None:
    """And not that the server refuses what it was never offered."""
    config = tmp_path / 'config'
    lines = sshd.config.read_text().splitlines()
    config.write_text('\n'.join(line for line in lines if 'identityfile' not in line.lower()))
    for account in 'nopw', 'plain':
        context = broker.ssh(
            sshd.address, ssh_args=['-F', str(config)], identity_file='/no/such/key',
            username=accounts[account].name)  # fmt: skip
        assert 'identity_file=' in fails(context, 'no-identity').remedy


def test_options_of_another_form_are_told(broker: econtext.Broker, child: econtext.Context) -> None:
    with pytest.raises(TypeError, match='answers='):
        broker.ssh('web', answers=['no'])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='timeout='):
        child.channel().get('5')  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='timeout='):
        econtext.select([child.channel()], timeout='5')  # type: ignore[arg-type]


# -- names -------------------------------------------------------------------


def test_no_two_contexts_share_a_name_and_a_logger(broker: econtext.Broker, tmp_path: Path) -> None:
    contexts = [broker.local(name='web') for _ in range(3)]
    assert [context.name for context in contexts] == ['web', 'web#2', 'web#3']
    assert len({context._node.lines.logger for context in contexts}) == 3
    contexts[1].close()
    assert broker.local(name='web').name == 'web#2'  # as it is free again
    hop = contexts[0]
    # Neither fails, which would make its name free, before the other is begun.
    silent = tmp_path / 'ssh'
    silent.write_text('#!/bin/sh\nexec sleep 600\n')
    silent.chmod(0o755)
    assert [hop.ssh('db', ssh_path=str(silent)).name for _ in range(2)] == ['db', 'db#2']
    with pytest.raises(ValueError, match='name='):
        broker.local(name='')
