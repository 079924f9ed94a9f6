"""Attached programs start and share contexts, and use all that these have: real programs, real sockets."""

from __future__ import annotations

import datetime
import os
import pathlib
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import shares
from attaching import LONG, connect, ends, frame, is_alive

import econtext
from econtext.controller.attach import messages, programs
from econtext.core.codec import encode
from econtext.core.wire import CALL, CLOSE, CREDIT, DATA, MODULE, RESULT
from lab import eventually


@pytest.fixture
def attached(path: str) -> Iterator[econtext.Attachment]:
    with econtext.attach(path) as other:
        yield other


# -- What a context of the other program can do --------------------------------


def test_streams_and_channels(broker: econtext.Broker, attached: econtext.Attachment) -> None:
    broker.local(name='box').wait_ready()
    box = attached.context('box')
    assert list(box.stream(shares.numbers, 1000)) == list(range(1000))
    # On a machine with other work a function may take longer than a second to stop.
    for left in box.options(grace=LONG).stream(shares.numbers, 10**9):
        if left == 3:
            break
    # More than the handles that it got at first, and both ways.
    for number in range(3 * programs.HANDLES):
        channel = box.channel()
        future = box.submit(shares.double, channel)
        channel.send(number)
        assert channel.get(LONG) == 2 * number
        channel.close()
        future.result(LONG)
    big = os.urandom(3 << 20)
    channel = box.channel(window=1 << 16)
    future = box.submit(shares.double, channel)
    for _ in range(3):
        channel.send(big)
        assert channel.get(LONG) == big * 2
    channel.close()
    future.result(LONG)
    assert broker._tree.channels.open_channels == {}


def test_commands_and_files(broker: econtext.Broker, attached: econtext.Attachment, tmp_path: pathlib.Path) -> None:
    broker.local(name='box').wait_ready()
    box = attached.context('box')
    done = box.run(['sh', '-c', 'cat; echo there >&2; exit 3'], input='here\n')
    assert (done.returncode, done.stdout, done.stderr) == (3, 'here\n', 'there\n')
    with box.run_lines(['yes']) as lines:
        assert next(iter(lines)) == 'y'
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.write_bytes(os.urandom(300_000))
    box.put(source, str(target))
    assert target.read_bytes() == source.read_bytes()
    box.get(str(target), tmp_path / 'back')
    assert (tmp_path / 'back').read_bytes() == source.read_bytes()
    with box.open(str(target), 'rb') as file:
        assert file.read(10) == source.read_bytes()[:10]
    assert box.path(str(target)).stat().st_size == 300_000
    assert box.call(lambda: datetime.date(2020, 1, 2)) == datetime.date(2020, 1, 2)


def test_a_context_below_is_an_argument(broker: econtext.Broker, attached: econtext.Attachment) -> None:
    broker.local(name='box').local(name='below').wait_ready()
    box, below = attached.context('box'), attached.context('below')
    assert below.via is box
    channel = box.channel()
    future = below.submit(shares.double, channel)
    channel.send(4)
    assert channel.get(LONG) == 8
    channel.close()
    future.result(LONG)


# -- Contexts that it starts -----------------------------------------------------


def test_a_named_context_is_shared(broker: econtext.Broker, attached: econtext.Attachment, path: str) -> None:
    with econtext.attach(path) as second:
        first_box, second_box = attached.local(name='box'), second.local(name='box', connect_timeout=20)
        pid = first_box.call(os.getpid)
        assert second_box.call(os.getpid) == pid
        assert second_box.wait_ready(LONG).pid == pid
        # Another option, another context; and none with a name is nobody else's.
        other = second.local(name='box', nice=1)
        assert other.call(os.getpid) != pid
        assert other.name == 'box#2'
        assert len({context.call(os.getpid) for context in (second.local(), second.local(), attached.local())}) == 3
        first_box.close()
        with pytest.raises(econtext.ContextLost, match='closed'):
            first_box.call(os.getpid)
        assert second_box.call(os.getpid) == pid
        again = attached.local(name='box')
        assert again.call(os.getpid) == pid
        again.close()
        second_box.close()
        assert not is_alive(pid), 'the last user waits for its end'
    # What its owner has started is shared too, and nobody else's to end.
    own = broker.local(name='own')
    with econtext.attach(path) as third:
        assert third.local(name='own').call(os.getpid) == own.call(os.getpid)
        third.local(name='own').close()
    assert own.call(os.getppid) == os.getpid()


def test_who_ask_at_once_get_one(path: str) -> None:
    attachments = [econtext.attach(path) for _ in range(8)]
    pids: list[int] = []
    barrier = threading.Barrier(len(attachments))

    def ask(other: econtext.Attachment) -> None:
        barrier.wait(LONG)
        pids.append(other.local(name='box').call(os.getpid))

    threads = [threading.Thread(target=ask, args=(other,)) for other in attachments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert len(pids) == len(attachments)
    assert len(set(pids)) == 1
    for other in attachments:
        assert is_alive(pids[0])
        other.close()
    ends(pids[0])


def test_it_ends_with_its_last_user(start: Any) -> None:
    code = 'print(other.local(name="box").call(os.getpid)); sys.stdout.flush(); sys.stdin.readline()'
    first, second = start(code), start(code)
    pid = int(first.line())
    assert int(second.line()) == pid
    first.go_on()
    first.end()
    assert is_alive(pid)
    second.kill()
    ends(pid)


def test_contexts_through_contexts(attached: econtext.Attachment, path: str) -> None:
    with econtext.attach(path) as second:
        base = attached.local(name='base')
        below = base.local(name='below')
        pids = base.call(os.getpid), below.call(os.getpid)
        assert below.call(os.getppid) == pids[0]
        assert below.via is base
        shared = second.local(name='base').local(name='below')
        assert shared.call(os.getpid) == pids[1]
        second.context('base').close()
        attached.close()
        # The one below is in use, and needs the other one.
        assert shared.call(os.getppid) == pids[0]
        shared.close()
    for pid in pids:
        ends(pid)


def test_idle_timeout(path: str) -> None:
    def pid_of(seconds: float) -> int:
        with econtext.attach(path) as other:
            return other.local(name='box', idle_timeout=seconds).call(os.getpid)

    pid = pid_of(600)
    assert pid_of(600) == pid, 'it stays without users'
    with econtext.attach(path) as other:
        box = other.local(name='brief', idle_timeout=2)
        # In use, by one thing or the other at any moment: for longer than that.
        slept = box.submit(shares.sleep, 3)
        channel = box.channel()
        future = box.submit(shares.double, channel)
        pid = slept.result(LONG)
        time.sleep(3)       # what is tested is that nothing happens
        channel.send(1)
        assert channel.get(LONG) == 2
        channel.close()
        future.result(LONG)
        ends(pid)
        with pytest.raises(econtext.ContextLost, match='it was idle for 2 s'):
            box.call(os.getpid)
        assert other.local(name='brief', idle_timeout=2).call(os.getpid) != pid
        with pytest.raises(ValueError, match='idle_timeout= must be'):
            other.local(idle_timeout=-1)


def test_errors_are_those_of_a_broker(attached: econtext.Attachment) -> None:
    with pytest.raises(TypeError, match='argv= must be a list of words'):
        attached.command('sh')
    with pytest.raises(TypeError, match='nonsense= is no option'):
        attached.local(nonsense=1)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match='fork is for contexts'):
        attached.fork()
    with pytest.raises(econtext.ConnectError) as caught:
        attached.local(python='/nowhere/python', name='wrong').call(os.getpid)
    assert caught.value.kind == 'no-python' or caught.value.remedy, caught.value
    assert caught.value.context == 'wrong'
    with pytest.raises(econtext.ConnectError):
        attached.local(python='/nowhere/python', name='wrong').wait_ready(LONG)
    assert attached.local(name='wrong').call(os.getppid) == os.getpid()


def test_questions_are_for_who_asked(attached: econtext.Attachment, tmp_path: pathlib.Path) -> None:
    tool = tmp_path / 'tool'
    tool.write_text('#!/bin/sh\nprintf "Password: " > /dev/tty\nread -r word < /dev/tty\n'
                    '[ "$word" = sesame ] || exit 1\nexec "$@"\n')
    tool.chmod(0o755)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return 'sesame'

    asks = attached.command([str(tool)], password=answer, name='asks')
    assert asks.call(os.getpid)
    assert [question.strip() for question in asked] == ['Password:']
    assert attached.command([str(tool)], password=econtext.Secret('sesame'), name='knows').call(os.getpid)

    def fails(question: str) -> str:
        raise LookupError('no keyring')

    with pytest.raises(econtext.ConnectError, match='LookupError: no keyring'):
        attached.command([str(tool)], password=fails, name='fails').call(os.getpid)
    assert len(attached._session.answers) <= 2
    asks.close()
    eventually(lambda: attached._session.answers == {}, what='nothing is kept of contexts that are gone')


# -- What dies with it -------------------------------------------------------------


def test_a_killed_program_leaves_nothing(broker: econtext.Broker, start: Any, tmp_path: pathlib.Path) -> None:
    child = broker.local(name='box', threads=3)
    child.wait_ready()
    begun, ended, held = (str(tmp_path / name) for name in ('begun', 'ended', 'held'))
    program = start(f"""
        import shares
        own = other.local()
        print(own.call(os.getpid))
        box = other.context('box')
        box.submit(shares.linger, {begun!r}, {ended!r})
        channel = box.channel()
        box.submit(shares.hold, channel, {held!r})
        channel.get()
        print('ready')
        sys.stdout.flush()
        time.sleep(600)
    """)
    pid = int(program.line())
    assert program.line() == 'ready'
    eventually(lambda: os.path.lexists(begun), LONG)
    program.kill()
    ends(pid)
    for mark in ended, held:
        eventually(lambda mark=mark: os.path.lexists(mark), LONG, mark)
    assert child.call(os.getppid) == os.getpid()
    server = broker._tree.attach_server
    eventually(lambda: not broker._tree.channels.open_channels, LONG)
    assert server is not None


def test_a_forked_process_attaches_anew(attached: econtext.Attachment, path: str) -> None:
    box = attached.local(name='box')
    pid = box.call(os.getpid)
    forked = os.fork()
    if not forked:
        status = 1
        try:
            try:
                box.call(os.getpid)
            except econtext.EcontextError as error:
                if 'attach here, too' in str(error):
                    with econtext.attach(path) as other:
                        status = int(other.local(name='box').call(os.getpid) != pid)
        finally:
            os._exit(status)
    assert os.waitpid(forked, 0)[1] == 0
    assert box.call(os.getpid) == pid


# -- Modules -----------------------------------------------------------------------


def files(number: int) -> dict[str, str]:
    """Return two modules that say which program they are of, the second imported by a name that no reading finds."""
    return {
        'app': f'import importlib\ndef tell():\n    return "app{number}"\n'
               'def later():\n    return importlib.import_module("app" + "_later").VALUE\n',
        'app_later': f'VALUE = "later{number}"\n'}


def test_each_program_has_its_own_modules(start: Any, tmp_path: pathlib.Path) -> None:
    code = """
        import app
        own = other.local()
        print(own.call(app.tell), own.call(app.later))
        sys.stdout.flush()
        sys.stdin.readline()
        try:
            print(other.local(name='common').call(app.tell))
        except econtext.EcontextError as error:
            print(error)
        sys.stdout.flush()
        sys.stdin.readline()
    """
    first, second = start(code, **files(1)), start(code, **files(2))
    assert (first.line(), second.line()) == ('app1 later1', 'app2 later2')
    first.go_on()
    assert first.line() == 'app1'
    second.go_on()
    assert 'common has another module app than this program' in second.line()
    for each in first, second:
        each.go_on()
        each.end()


def test_the_same_name_behind_a_shared_context(start: Any) -> None:
    """The hop keeps the module of the first program, and passes it on to contexts of the first alone."""
    code = """
        import app
        box = other.local(name='box', idle_timeout=60)
        print(box.local().call(app.tell), box.local().call(app.later))
        sys.stdout.flush()
        sys.stdin.readline()
    """
    programs = [start(code, **files(number)) for number in (1, 2)]
    assert [each.line() for each in programs] == ['app1 later1', 'app2 later2']
    for each in programs:
        each.go_on()
        each.end()


@pytest.mark.parametrize(('code', 'status'), [('os._exit(7)', 7), ('os.kill(os.getpid(), signal.SIGTERM)', -15)])
def test_how_a_context_ended(attached: econtext.Attachment, code: str, status: int) -> None:
    for context in attached.local(), attached.local().local():
        with pytest.raises(econtext.ContextLost):
            context.call(exec, f'import os, signal; signal.signal(signal.SIGTERM, signal.SIG_DFL); {code}')
        assert context._node.exit_status == status


def test_modules_of_the_program_come_before_those_of_the_broker(
    start: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker's own program has another `app`, which a late import there must not find."""
    ours = tmp_path / 'ours'
    for name, value in ('app_of_test', 'ours'), ('app_of_test_later', 'our later'):
        ours.mkdir(exist_ok=True)
        (ours / f'{name}.py').write_text(f'VALUE = {value!r}\n')
    monkeypatch.syspath_prepend(str(ours))
    program = start(
        'import app_of_test\nprint(*other.local().call(app_of_test.tell))\n',
        app_of_test='import importlib\ndef tell():\n'
                    '    return "mine", importlib.import_module("app_of_test" + "_later").VALUE\n',
        app_of_test_later='VALUE = "my later"\n')
    assert program.end() == 'mine my later\n'


# -- Functions of the broker's program -------------------------------------------------


def add(first: int, second: int) -> int:
    return first + second


def fail(name: str) -> None:
    raise FileNotFoundError(2, 'nothing', name)


def test_allowed_functions(broker: econtext.Broker, attached: econtext.Attachment) -> None:
    with pytest.raises(econtext.NotAllowed, match='allow it there'):
        attached.call(add, 1, 2)
    with pytest.raises(econtext.NotAllowed):
        attached.call('os.getpid')
    broker.allow(add, fail)
    assert attached.call(add, 1, second=2) == 3
    assert attached.call(f'{__name__}.add', 4, 5) == 9
    with pytest.raises(FileNotFoundError) as caught:
        attached.call(fail, 'x')
    assert isinstance(caught.value, econtext.CallError)
    assert caught.value.filename == 'x'
    with pytest.raises(TypeError):
        attached.call(add, object(), 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match='dotted name'):
        attached.call('add', 1, 1)


# -- Who means harm ------------------------------------------------------------------


BOMB = zlib.compress(bytes(1 << 29))
ATTACKS = {
    'a request of no form': lambda box, handle: frame(CALL, 0, 1, b'x'),
    'a request of an unknown word': lambda box, handle: frame(CALL, 0, 1, encode(('x',))),
    'a connect of another form': lambda box, handle: frame(CALL, 0, 1, encode((messages.CONNECT, 1))),
    'a connect with lists in the place of tables': lambda box, handle: frame(CALL, 0, 1, encode(
        (messages.CONNECT, 0, 'local', [], {}, [], 1, {}, None))),
    'a channel of a number that is not its own': lambda box, handle: frame(CALL, 0, 0, encode(
        (messages.CHANNEL, box, 1 << 30, 1 << 20))),
    'a window of no size': lambda box, handle: frame(CALL, 0, 0, encode((messages.CHANNEL, box, handle, 1))),
    'a channel twice': lambda box, handle: frame(CALL, 0, 0, encode((messages.CHANNEL, box, handle, 1 << 20))) * 2,
    'credit of no number': lambda box, handle: frame(CALL, 0, 0, encode(
        (messages.CHANNEL, box, handle, 1 << 20))) + frame(CREDIT, box, handle, b'x'),
    'credit without end': lambda box, handle: frame(CALL, 0, 0, encode(
        (messages.CHANNEL, box, handle, 1 << 20))) + frame(CREDIT, box, handle, b'fffffff'),
    'an answer to no question': lambda box, handle: frame(RESULT, 0, 5, encode(None)),
    'modules that are a bomb': lambda box, handle: frame(MODULE, box, 5, BOMB),
    'a function of another form': lambda box, handle: frame(CALL, 0, 1, encode((messages.RUN, 1, 2, 3, 4))),
    'calls under one number': lambda box, handle: frame(CALL, box, 9, CALLED) * 2,
}
CALLED = __import__('marshal').dumps(('time', 'sleep', (1,), {}), 1)


@pytest.mark.parametrize('attack', ATTACKS)
def test_what_makes_no_sense_ends_its_own_link_only(broker: econtext.Broker, path: str, attack: str) -> None:
    child = broker.local(name='box')
    child.wait_ready()
    wild, handles = connect(path)
    with wild, econtext.attach(path) as other:
        wild.sendall(ATTACKS[attack](child._node.id, handles[0]))
        wild.settimeout(LONG)
        while wild.recv(1 << 16):
            pass
        assert other.context('box').call(os.getppid) == os.getpid()
    eventually(lambda: broker._tree.channels.open_channels == {}, LONG, 'what it opened is closed')


@pytest.mark.parametrize('harmless', [
    frame(DATA, 1, 999, b'x'), frame(CLOSE, 1, 999, b''), frame(CREDIT, 1, 999, b'1'), frame(CALL, 999, 3, b'x'),
    frame(CALL, 0, 1, encode((messages.CONNECT, 999, 'local', {}, {}, [], 1, {}, None))),
    frame(CALL, 0, 1, encode((messages.CONNECT, 0, '../x', {}, {}, [], 1, {}, None))),
    frame(CALL, 0, 1, encode((messages.CONNECT, 0, 'ssh', {'hostname': 5}, {}, [], 1, {}, None))),
    frame(CALL, 0, 1, encode((messages.CONNECT, 0, 'ssh', {}, {}, [], 1, {}, None))),
    frame(CALL, 0, 1, encode((messages.CONNECT, 0, 'local', {'python': [[]]}, {}, [], 1, {'threads': 'x'}, None))),
    frame(CALL, 0, 1, encode((messages.USE, 999))), frame(CALL, 0, 1, encode((messages.RELEASE, 999))),
])  # fmt: skip
def test_what_is_refused_or_late_ends_nobody(broker: econtext.Broker, path: str, harmless: bytes) -> None:
    broker.local(name='box').wait_ready()
    wild, _ = connect(path)
    with wild:
        wild.settimeout(LONG)
        wild.sendall(harmless + frame(CALL, 0, 77, b''))
        data = b''
        while b'box' not in data:
            piece = wild.recv(1 << 16)
            assert piece
            data += piece


def test_calls_without_end_end_the_link(
    broker: econtext.Broker, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, 'OWED', 1 << 20)
    child = broker.local(name='box')
    child.wait_ready()
    wild, _ = connect(path)
    with wild:
        body = __import__('marshal').dumps(('time', 'sleep', (30,), {'x': bytes(1 << 18)}), 1)
        wild.settimeout(LONG)
        try:
            wild.sendall(b''.join(frame(CALL, child._node.id, number, body) for number in range(1, 9)))
            while wild.recv(1 << 16):
                pass
        except ConnectionError:
            pass
    assert child.call(os.getppid) == os.getpid()
