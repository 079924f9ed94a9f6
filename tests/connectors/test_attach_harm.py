"""Attached programs that mean harm, are stopped, or die at any line: their broker goes on, and leaks nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import shares
from attaching import HERE, LONG, SRC, Program, connect, ends, frame

import econtext
from econtext.controller.attach import messages, passed, programs, server, session, sockets
from econtext.core.codec import encode
from econtext.core.wire import CALL, CLOSE, DATA, WANT, BadFrame
from lab import eventually


def is_let_go(wild: socket.socket) -> bool:
    wild.settimeout(LONG)
    try:
        while wild.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    return True


# -- Without bounds ------------------------------------------------------------------


def value(size: int) -> bytes:
    return encode(b'x' * size)


ATTACKS = {
    'values beyond credit': lambda box, handle: frame(
        CALL, 0, 0, encode((messages.CHANNEL, box, handle, 1 << 16))) + frame(DATA, box, handle, value(1 << 16)) * 2,
    'closed twice': lambda box, handle: frame(
        CALL, 0, 0, encode((messages.CHANNEL, box, handle, 1 << 16))) + frame(CLOSE, box, handle, b'') * 2,
    'handles without end': lambda box, handle: frame(CALL, 0, 1, encode((messages.HANDLES,))) * 10,
    'an interruption of another form': lambda box, handle: frame(
        CALL, box, 9, SLEEP) + frame(programs.INTERRUPT, box, 9, b'x' * 100),
    'interruptions without end': lambda box, handle: frame(
        CALL, box, 9, SLEEP) + frame(programs.INTERRUPT, box, 9, programs.WITHDRAW) * 10,
    'modules without end': lambda box, handle: b''.join(
        frame(programs.MODULE, box, number, units(f'mod{number}')) for number in range(1, 100)),
    'a module that is none': lambda box, handle: frame(programs.MODULE, box, 1, pack((False, 'x.py', 5))),
    'a module without a path': lambda box, handle: frame(programs.MODULE, box, 1, pack((False, None, b'x'))),
    'a module of modules that are none': lambda box, handle: frame(programs.MODULE, box, 1, pack(((5,), 'x.py', b'x'))),
}
SLEEP = __import__('marshal').dumps(('time', 'sleep', (30,), {}), 1)


def pack(unit: Any) -> bytes:
    compressed: bytes = __import__('zlib').compress(encode([('app', unit)]))
    return compressed


def units(name: str) -> bytes:
    compressed: bytes = __import__('zlib').compress(encode([(name, (False, f'{name}.py', os.urandom(1 << 10)))]))
    return compressed


@pytest.mark.parametrize('attack', ATTACKS)
def test_what_has_no_bound_ends_its_own_link_only(
    broker: econtext.Broker, path: str, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    monkeypatch.setattr(programs, 'MOST_CHANNELS', 100)
    monkeypatch.setattr(programs, 'MOST_INTERRUPTS', 5)
    monkeypatch.setattr(programs, 'OWED', 1 << 15)
    child = broker.local(name='box', threads=2)
    child.wait_ready()
    wild, handles = connect(path)
    with wild, econtext.attach(path) as other:
        wild.sendall(ATTACKS[attack](child._node.id, handles[0]))
        assert is_let_go(wild)
        assert other.context('box').call(os.getppid) == os.getpid()
    assert child.call(os.getppid) == os.getpid()
    eventually(lambda: broker._tree.channels.open_channels == {}, LONG, 'what it opened is closed')


def test_answers_that_are_not_read_end_the_link(
    broker: econtext.Broker, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing more after its calls, so that nothing but the answers shows that it does not read."""
    monkeypatch.setattr(programs, 'OWED', 1 << 20)
    child = broker.local(name='box')
    child.wait_ready()
    wild, _ = connect(path)
    big = __import__('marshal').dumps(('builtins', 'bytes', (1 << 19,), {}), 1)
    attach_server: Any = broker._tree.attach_server
    with wild:
        wild.sendall(b''.join(frame(CALL, child._node.id, number, big) for number in range(1, 12)))
        eventually(lambda: not attach_server.programs, LONG)
    assert child.call(os.getppid) == os.getpid()


def test_more_credit_than_was_used_is_the_fault_of_the_context() -> None:
    class Told:
        def send(self, *frame: Any) -> None:
            """Nothing is sent."""

    class Peer:
        id = 5

    channel = passed.PassedChannel(Told(), Peer(), 1, 1 << 16)  # type: ignore[arg-type]
    assert channel.take(DATA, b'x' * 1000) == (True, False)
    channel.receive(programs.CREDIT, b'3e8')
    with pytest.raises(BadFrame, match='more credit'):
        channel.receive(programs.CREDIT, b'1')


def test_nothing_is_kept_of_the_modules_of_contexts_that_are_gone(
    broker: econtext.Broker, start: Any
) -> None:
    program = start("""
        import app
        for _ in range(3):
            with other.local() as box:
                box.call(app.tell)
    """, app='def tell():\n    return 1\n')
    program.end()
    attach_server: Any = broker._tree.attach_server
    eventually(lambda: not broker._tree.contexts, LONG)
    assert attach_server.brought == {}
    assert attach_server.sharing.shared == {}
    assert attach_server.sharing.keys == {}


def test_contexts_without_bound_are_refused(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those included that nobody uses any more, and that stay for a while."""
    monkeypatch.setattr(programs, 'MOST_CONTEXTS', 2)
    monkeypatch.setattr(programs, 'MOST_SHARED', 3)
    with econtext.attach(path) as other:
        for name in ('one', 'two'):
            other.local(name=name, idle_timeout=600)
        with pytest.raises(econtext.EcontextError, match='more than 2 contexts for one attached program'):
            other.local()
        other.context('one').close()
        other.local(name='three')
        other.context('two').close()
        with pytest.raises(econtext.EcontextError, match='more than 3 contexts for attached programs'):
            other.local()
        other.context('three').close()
        assert other.local().call(os.getppid) == os.getpid()


@pytest.mark.parametrize('name', ['a\nb', '\x1b[2J', 'x' * 300])
def test_a_name_that_would_forge_lines_is_refused(broker: econtext.Broker, path: str, name: str) -> None:
    wild, _ = connect(path)
    with wild:
        wild.settimeout(LONG)
        wild.sendall(frame(CALL, 0, 1, encode((messages.CONNECT, 0, 'local', {}, {}, [], 1, {}, name))))
        data = b''
        while b'printable text' not in data:
            piece = wild.recv(1 << 16)
            assert piece
            data += piece
    assert not broker._tree.contexts


def test_a_call_that_cannot_be_passed_on_is_answered(
    broker: econtext.Broker, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a fault of ours: whoever made the call does not wait for ever, and the program stays."""
    broker.local(name='box').wait_ready()

    def fails(*details: Any) -> int:
        raise RuntimeError('by the test')

    with econtext.attach(path) as other:
        box = other.context('box')
        with monkeypatch.context() as patched:
            patched.setattr(broker._tree.router, 'ask', fails)
            with pytest.raises(econtext.EcontextError, match='RuntimeError'):
                box.options(timeout=LONG).call(os.getpid)
        assert other.context('box').call(os.getppid) == os.getpid()


# -- Who does not answer ---------------------------------------------------------------


def stop(program: Program) -> None:
    """Stop the process, and wait until it has stopped."""
    program.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, program.process.pid, os.WSTOPPED | os.WNOWAIT)


def test_a_stopped_program_holds_up_no_import_of_others(
    broker: econtext.Broker, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, 'ANSWER', 0.2)
    box = broker.local(name='box', threads=2)
    code = """
        box = other.local(name='common', threads=2)
        other.context('box').call(os.getpid)
        print(box.call(os.getpid))
        sys.stdout.flush()
        sys.stdin.readline()
        print(box.call(eval, "__import__('app_' + 'late').VALUE"))
    """
    stopped, goes_on = start(code), start(code, app_late='VALUE = 7\n')
    assert stopped.line() == goes_on.line()
    stop(stopped)
    # Neither the import of another program, nor one of the broker's own.
    goes_on.go_on()
    assert goes_on.end().strip() == '7'
    with pytest.raises(ImportError):
        box.call(eval, "__import__('no_such_' + 'module')")
    # What it says late does it no harm.
    stopped.process.send_signal(signal.SIGCONT)
    stopped.go_on()
    assert stopped.end().strip() == '7', 'the context has the module of the other one'


def test_a_stopped_program_that_holds_up_itself_alone_gets_its_module(
    start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(server, 'ANSWER', 0.1)
    looks: list[Any] = []
    calls = server.AttachServer.calls

    def counted(self: server.AttachServer, context: Any) -> Any:
        looks.append(context)
        return calls(self, context)

    monkeypatch.setattr(server.AttachServer, 'calls', counted)
    program = start("""
        import shares
        box = other.local(name='box')
        future = box.submit(shares.import_behind, sys.argv[0] + '.go', 'app_late')
        print('sent')
        sys.stdout.flush()
        print(future.result())
    """, app_late='VALUE = 7\n')
    assert program.line() == 'sent'
    stop(program)
    (tmp_path / 'program0' / 'tool.py.go').touch()
    eventually(lambda: len(looks) > 3, LONG, 'it is looked after more than once')
    program.process.send_signal(signal.SIGCONT)
    assert program.end().strip() == '7'


def test_questions_that_are_not_answered_hold_up_nothing(
    broker: econtext.Broker, path: str, start: Any, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """More of them than there are threads for the handlers of the broker's program."""
    tool = tmp_path / 'tool'
    tool.write_text('#!/bin/sh\nprintf "Password: " > /dev/tty\nread -r word < /dev/tty\nexec "$@"\n')
    tool.chmod(0o755)
    program = start(f"""
        def answer(question):
            print('asked')
            sys.stdout.flush()
            time.sleep(600)
        for number in range(20):
            other.command([{str(tool)!r}], password=answer, name='asks%d' % number)
        print('started')
        sys.stdout.flush()
        time.sleep(600)
    """)
    # Where starting takes its time, several questions are asked before.
    while program.line() != 'started':
        pass
    attach_server: Any = broker._tree.attach_server
    eventually(lambda: len(attach_server.programs[0].questions.wanted) == 20, LONG, 'all questions are asked')
    # A callback, and a line that a handler takes, come at once.
    box = broker.local(name='box')
    called = threading.Event()
    box.submit(os.getpid).add_done_callback(lambda done: called.set())
    assert called.wait(LONG)
    caplog.set_level(logging.INFO)
    box.call(shares.say, 'heard')
    eventually(lambda: 'heard' in caplog.text, LONG)
    began = time.monotonic()
    program.kill()
    eventually(lambda: not attach_server.sharing.shared and len(broker._tree.contexts) == 1, LONG)
    assert time.monotonic() - began < LONG / 2


def test_an_answer_of_another_form_ends_its_link_and_the_start(
    broker: econtext.Broker, path: str, tmp_path: pathlib.Path
) -> None:
    tool = tmp_path / 'tool'
    tool.write_text('#!/bin/sh\nprintf "Password: " > /dev/tty\nread -r word < /dev/tty\nexec "$@"\n')
    tool.chmod(0o755)
    wild, _ = connect(path)
    with wild:
        wild.settimeout(LONG)
        wild.sendall(frame(CALL, 0, 1, encode(
            (messages.CONNECT, 0, 'command', {'argv': [str(tool)]}, {}, ['password'], 1, {}, None))))
        data = b''
        while b'Password' not in data:
            data += wild.recv(1 << 16)
        # The last frame is the question, whose number is before its length.
        head = data.rindex(bytes((0xec, 1, WANT)) if bytes((0xec, 1, WANT)) in data else b'\xec')
        number = int.from_bytes(data[head + 11:head + 15], 'big')
        wild.sendall(frame(programs.RESULT, 0, number, encode((1, 2, 3))))
        assert is_let_go(wild)
    eventually(lambda: not broker._tree.contexts, LONG)


def test_a_program_that_lets_nobody_in(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens and was stopped; as many wait as the system lets wait."""
    monkeypatch.setattr(sockets, 'PATIENCE', 0.2)
    monkeypatch.setenv('XDG_RUNTIME_DIR', str(tmp_path))
    path = os.path.join(sockets.folder(), 'full.sock')
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listening.bind(path)
        listening.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                waiting.setblocking(False)
                waiting.connect(path)
        with pytest.raises(econtext.EcontextError, match='lets nobody in'):
            econtext.attach(path)
        with pytest.raises(econtext.EcontextError, match='lets nobody in'):
            econtext.attach()
        with econtext.Broker() as broker, pytest.raises(econtext.EcontextError, match='no socket can be made there'):
            broker.listen(path)


OWNER = """
import sys, time, econtext
if __name__ == '__main__' and not econtext.slave:
    with econtext.Broker() as broker:
        broker.local(name='box').wait_ready()
        print(broker.listen(sys.argv[1]))
        sys.stdout.flush()
        sys.stdin.readline()
"""


@pytest.fixture
def owner(tmp_path: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """A program of its own that listens at ``sock``."""
    tool = tmp_path / 'owner.py'
    tool.write_text(OWNER)
    process = subprocess.Popen(
        [sys.executable, str(tool), str(tmp_path / 'sock')], env={**os.environ, 'PYTHONPATH': SRC},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().rstrip() == str(tmp_path / 'sock')
    yield process
    process.send_signal(signal.SIGCONT)
    process.communicate('\n', timeout=LONG)


def test_an_owner_that_is_killed_holds_up_nobody(owner: subprocess.Popen[str], tmp_path: pathlib.Path) -> None:
    with econtext.attach(tmp_path / 'sock') as other:
        box, own = other.context('box'), other.local(name='own')
        pids = box.call(os.getpid), own.call(os.getpid)
        futures = [each.submit(time.sleep, 600) for each in (box, own)]
        channel = own.channel()
        owner.kill()
        for future in futures:
            with pytest.raises(econtext.ContextLost, match='the program that has it is gone'):
                future.result(LONG)
        with pytest.raises(econtext.ContextLost):
            channel.get(LONG)
        with pytest.raises(econtext.EcontextError):
            other.local()
        own.close()
    for pid in pids:
        ends(pid)


def test_an_owner_that_is_stopped_is_told_of(
    owner: subprocess.Popen[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with econtext.attach(tmp_path / 'sock') as other, monkeypatch.context() as patched:
        box = other.context('box')
        box.call(os.getpid)
        patched.setattr(session, 'SECONDS', 0.3)
        owner.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, owner.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(econtext.EcontextError, match='does not answer'):
            econtext.attach(tmp_path / 'sock')
        with pytest.raises(econtext.EcontextError, match='does not answer'):
            other.local()
        with pytest.raises(econtext.CallTimeout):
            box.options(timeout=0.2).call(os.getpid)
        owner.send_signal(signal.SIGCONT)
        patched.undo()
        # A context for which nobody waits any more is left as the answer comes.
        eventually(lambda: [each.name for each in other.contexts] == ['box'], LONG)
        assert box.call(os.getppid) == owner.pid


# -- At any line ---------------------------------------------------------------------------

DYING = """
import os, signal, sys, threading

left, folder = int(sys.argv[2]), os.sep + 'attach' + os.sep


def count(frame, event, detail):
    global left
    if folder not in frame.f_code.co_filename:
        return None
    if event == 'line':
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return count


import econtext
import econtext.controller.attach.client
import shares

if __name__ == '__main__' and not econtext.slave:
    threading.settrace(count)
    sys.settrace(count)
    with econtext.attach(sys.argv[1]) as other:
        box = other.local(name='shared')
        below = box.local(name='below', idle_timeout=0.05)
        own = other.local()
        future = below.submit(shares.sleep, 0.01)
        channel = own.channel()
        doubled = own.submit(shares.double, channel)
        channel.send(1)
        channel.get()
        other.context('owned').run(['true'])
        try:
            future.result()
        except econtext.ContextLost:
            # On a busy machine it was idle before the call came.
            pass
        box.close()
    sys.settrace(None)
    print('ended', left)
"""


def test_a_program_that_dies_at_any_line_leaves_nothing(
    broker: econtext.Broker, path: str, tmp_path: pathlib.Path
) -> None:
    owned = broker.local(name='owned', threads=2)
    owned.wait_ready()
    tool = tmp_path / 'dies.py'
    tool.write_text(DYING)
    attach_server: Any = broker._tree.attach_server

    def die(line: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(tool), path, str(line)], env={**os.environ, 'PYTHONPATH': f'{SRC}:{HERE}'},
            capture_output=True, text=True, timeout=LONG)

    whole = die(10**9)
    assert whole.returncode == 0, whole.stderr
    lines = 10**9 - int(whole.stdout.split()[1])
    assert lines > 200
    for number in range(16):
        # At other places in each run of the tests, and all over the program.
        done = die(1 + (number * lines + os.getpid() % lines) // 16)
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
        eventually(lambda: not attach_server.programs, LONG, 'it is known to be gone')
        eventually(lambda: list(broker._tree.unreaped.values()) == [owned._node], LONG,
                   f'contexts end; killed at {number}')
        assert owned.call(os.getppid) == os.getpid()
        assert attach_server.sharing.shared == {}
        assert attach_server.brought.keys() <= {owned._node.id}
        eventually(lambda: broker._tree.channels.open_channels == {}, LONG)
        eventually(lambda: not broker._tree.router.asked, LONG)


# -- Other users, and other processes --------------------------------------------------------


def test_the_socket_is_never_open_to_others(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for a moment, and by no second look at a name that others may have given to something else."""
    def refused(*details: object) -> None:
        raise AssertionError('a mode is changed by name')

    if sys.platform == 'linux':
        monkeypatch.setattr(os, 'chmod', refused)
    before = os.umask(0)
    try:
        with sockets.listen(str(tmp_path / 'sock')):
            assert os.stat(tmp_path / 'sock').st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def sockets_here() -> set[str]:
    """Return the sockets that this process has open."""
    found = set()
    for fd in range(3, 200):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f'/proc/self/fd/{fd}'))
    return {name for name in found if name.startswith('socket:')}


@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='the system does not show descriptors')
def test_a_process_that_the_broker_forks_keeps_no_link_of_a_program(
    broker: econtext.Broker, tmp_path: pathlib.Path
) -> None:
    """Else an attached program would not hear of the end of its broker while that process lives."""
    before = sockets_here()
    with econtext.attach(broker.listen(tmp_path / 'sock')) as other:
        box = other.local(name='box')
        box.call(os.getpid)
        held = sockets_here() - before
        assert len(held) == 3, 'that which listens, and both ends of the link'
        forked = os.fork()
        if not forked:
            os._exit(len(held & sockets_here()))
        assert os.waitpid(forked, 0)[1] == 0
        assert box.call(os.getppid) == os.getpid()
