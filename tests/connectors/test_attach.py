"""A second program of the same user uses a running broker's contexts: real programs, a real socket."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import copies
import pytest

import econtext
from econtext.controller.attach import programs, server
from econtext.controller.node import Node
from lab import eventually, open_to_all, pythons, require
from lab.accounts import Accounts

SRC = str(pathlib.Path(econtext.__file__).parents[1])


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / 'sock')


@pytest.fixture
def attached(broker: econtext.Broker, path: str) -> Iterator[Any]:
    assert broker.listen(path) == path
    with econtext.attach(path) as other:
        yield other


def program(tmp_path: pathlib.Path, path: str, code: str, *files: tuple[str, str]) -> Any:
    """Run a program that has attached as `other`; return what became of it."""
    folder = tmp_path / 'program'
    folder.mkdir(exist_ok=True)
    for name, text in files:
        (folder / name).write_text(textwrap.dedent(text))
    source = f'import os, sys, time, econtext\n{textwrap.dedent(code)}\n'
    (folder / 'tool.py').write_text(source)
    return subprocess.run(
        [sys.executable, str(folder / 'tool.py'), path], env={**os.environ, 'PYTHONPATH': SRC},
        capture_output=True, text=True, timeout=60)


MAIN = """
if __name__ == '__main__' and not econtext.slave:
    with econtext.attach(sys.argv[1]) as other:
        context = other.context('box')
"""


def test_calls(broker: econtext.Broker, attached: Any) -> None:
    child = broker.local(name='box')
    pid = child.call(os.getpid)
    (seen,) = attached.contexts
    assert (seen.name, seen.pid, seen.python_version) == ('box', pid, sys.version_info[:3])
    box = attached.context('box')
    assert box.call(os.getpid) == pid
    futures = [box.submit(divmod, number, 7) for number in range(100)]
    assert [future.result() for future in futures] == [divmod(number, 7) for number in range(100)]
    big = os.urandom(3_000_000)
    assert box.call(bytes, big) == big
    with pytest.raises(FileNotFoundError):
        box.call(os.stat, '/nowhere')
    below = child.local(name='below')
    assert attached.context('below').call(os.getppid) == pid
    assert below.call(os.getppid) == pid
    with pytest.raises(econtext.EcontextError, match="no context 'web'; there are: box, below"):
        attached.context('web')
    with pytest.raises(econtext.EcontextError, match='allow functions there'):
        box.allow(os.getpid)
    box.close()
    assert child.call(os.getpid) == pid


def test_its_own_modules(broker: econtext.Broker, path: str, tmp_path: pathlib.Path) -> None:
    broker.listen(path)
    broker.local(name='box')
    code = """
    import spare
    def where(what):
        import later
        print('called')
        return what, __name__, os.getppid(), later.VALUE, spare.VALUE
    """ + textwrap.indent(MAIN, '    ') + '            print(*context.call(where, 5))\n'
    files = ('spare.py', 'VALUE = 1\n'), ('later.py', 'VALUE = 2\n')
    done = program(tmp_path, path, code, *files)
    assert done.returncode == 0, done.stderr
    what, name, parent, later, spare = done.stdout.split()
    assert (what, parent, later, spare) == ('5', str(os.getpid()), '2', '1')
    assert name.startswith('tool_')
    # Another version of the program is another module; of a module it imports, a conflict.
    done = program(tmp_path, path, code.replace('what, __name__', '6, __name__'), *files)
    assert done.stdout.split()[0] == '6', done.stderr
    done = program(tmp_path, path, code, ('spare.py', 'VALUE = 9\n'))
    assert 'box has another module spare than this program' in done.stderr


def test_deadlines_and_interruption(broker: econtext.Broker, attached: Any, tmp_path: pathlib.Path) -> None:
    child = broker.local(name='box')
    box = attached.context('box')
    with pytest.raises(econtext.CallTimeout):
        box.options(timeout=0.2, grace=60).call(copies.nap, 30)
    assert child.call(os.getpid) == box.call(os.getpid)
    broker.local(name='second')
    second = attached.context('second')
    running, waiting = second.submit(copies.wait_for_file, str(tmp_path / 'go')), second.submit(os.getpid)
    assert waiting.cancel()
    (tmp_path / 'go').touch()
    assert running.result(60) is None
    broker.local(name='third')
    running = attached.context('third').submit(copies.nap, 30)
    running.interrupt(60)
    with pytest.raises((econtext.CallError, concurrent.futures.CancelledError)):
        running.result(60)


def test_a_context_that_ends(broker: econtext.Broker, attached: Any) -> None:
    import time

    child = broker.local(name='box')
    box = attached.context('box')
    future = box.submit(time.sleep, 30)
    assert broker._tree.attach_server is not None
    eventually(lambda: broker._tree.attach_server.programs[0].calls)
    child.close()
    with pytest.raises(econtext.ContextLost, match='box: it was closed'):
        future.result(60)
    with pytest.raises(econtext.ContextLost):
        box.call(os.getpid)
    assert attached.contexts == []


def test_a_broker_that_ends(path: str) -> None:
    import time

    with econtext.Broker() as broker:
        broker.listen(path)
        broker.local(name='box')
        other = econtext.attach(path)
        box = other.context('box')
        box.call(os.getpid)
        future = box.submit(time.sleep, 30)
    with pytest.raises(econtext.ContextLost):
        future.result(60)
    with pytest.raises(econtext.ContextLost, match='gone'):
        other.contexts  # noqa: B018
    other.close()
    assert not os.path.exists(path)


def test_a_program_that_has_left(path: str) -> None:
    """It is told that it left itself; the other program goes on."""
    with econtext.Broker() as broker:
        broker.listen(path)
        other = econtext.attach(path)
        other.close()
        for late in lambda: other.contexts, other.local, lambda: other.call('tasks.next_task'):
            with pytest.raises(econtext.ContextLost, match=r'this program has left: call econtext\.attach'):
                late()


def test_a_program_that_dies(
    broker: econtext.Broker, path: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt = programs.send_interrupt
    given_up: list[int] = []

    def slowly(context: Any, number: int) -> None:
        """Give the context all the time that it wants between two calls that are given up."""
        interrupt(context, number)
        given_up.append(number)
        eventually(lambda: number not in broker._tree.router.asked)

    monkeypatch.setattr(programs, 'send_interrupt', slowly)
    broker.listen(path)
    child = broker.local(name='box')
    code = MAIN + """
        busy = context.submit(time.sleep, 600)
        queued = context.submit(os.mkdir, sys.argv[1] + '.made')
        other.contexts      # asked behind both, and answered
        os.kill(os.getpid(), 9)
"""
    done = program(tmp_path, path, code)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert child.call(os.getppid) == os.getpid()
    assert len(given_up) == 2
    assert not os.path.exists(path + '.made'), 'what had not begun is withdrawn'
    assert broker._tree.attach_server is not None
    eventually(lambda: not broker._tree.attach_server.programs)


@pytest.mark.parametrize('first', ['broker', 'program'])
def test_a_program_that_is_let_in_while_its_broker_closes(
    path: str, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Nothing of its link is left behind; the check is that of every test, for descriptors."""
    greet, close = server.AttachedProgram.greet, server.AttachServer.close
    let_in, closed = threading.Event(), threading.Event()

    def slow_greet(self: server.AttachedProgram, connection: socket.socket) -> None:
        if first == 'program':
            greet(self, connection)
        let_in.set()
        assert closed.wait(60)
        if first == 'broker':
            greet(self, connection)

    def noted_close(self: server.AttachServer) -> None:
        close(self)
        closed.set()

    monkeypatch.setattr(server.AttachedProgram, 'greet', slow_greet)
    monkeypatch.setattr(server.AttachServer, 'close', noted_close)
    with econtext.Broker() as broker, socket.socket(socket.AF_UNIX) as other:
        other.connect(broker.listen(path))
        assert let_in.wait(60)
        attach_server = broker._tree.attach_server
    assert attach_server is not None
    assert attach_server.programs == []


def test_others_do_not_get_in(
    broker: econtext.Broker, path: str, tmp_path: pathlib.Path, accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    require('accounts')
    open_to_all(tmp_path)
    broker.listen(path)
    os.chmod(path, 0o666)
    code = f'import socket; s = socket.socket(socket.AF_UNIX); s.connect({path!r}); print(s.recv(100))'
    done = accounts['plain'].run(pythons.everyones(), '-c', code)
    assert done.stdout == "b''\n", done.stderr
    eventually(lambda: 'another user' in caplog.text)


@pytest.mark.parametrize('data', [b'x' * 30, bytes.fromhex('ec0101') + b'\0' * 16 + b'y' * 30,
                                  bytes.fromhex('ec0100') + b'\0\0\0\1' + b'\0' * 8 + b'\0\0\0\3abc'])  # fmt: skip
def test_nonsense_ends_its_own_link_only(broker: econtext.Broker, path: str, data: bytes) -> None:
    broker.listen(path)
    child = broker.local(name='box')
    child.call(os.getpid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wild, econtext.attach(path) as other:
        wild.connect(path)
        wild.sendall(data)
        wild.shutdown(socket.SHUT_WR)
        while wild.recv(1000):
            pass
        assert other.context('box').call(os.getppid) == os.getpid()


def test_places(broker: econtext.Broker, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_RUNTIME_DIR', str(tmp_path))
    with pytest.raises(econtext.EcontextError, match='no program of this user listens'):
        econtext.attach()
    stale = tmp_path / 'econtext' / f'{os.getpid()}.sock'
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    path = broker.listen()
    assert path == str(stale)
    with econtext.attach() as other:
        assert other.path == path
    with pytest.raises(econtext.EcontextError, match='listens at'):
        broker.listen()
    with econtext.Broker() as second:
        for wrong in (path, tmp_path / 'econtext', '/nowhere/sock'):
            with pytest.raises(econtext.EcontextError, match='no socket can be made there'):
                second.listen(wrong)
    with pytest.raises(econtext.EcontextError, match='nobody listens there'):
        econtext.attach(tmp_path / 'none')
    assert os.stat(path).st_mode & 0o777 == 0o600
    (tmp_path / 'econtext').chmod(0o755)
    with pytest.raises(econtext.EcontextError, match='this user alone'):
        server.folder()
    monkeypatch.setenv('XDG_RUNTIME_DIR', str(tmp_path / 'of an earlier login'))
    with econtext.Broker() as second:
        for place in (econtext.attach, second.listen):
            with pytest.raises(econtext.EcontextError, match='directory: correct XDG_RUNTIME_DIR'):
                place()


# -- Several threads of one program ------------------------------------------

TOLD = (7, 'box', 0, True, (3, 13, 0), '/bin/python', 1)


class Meanwhile:
    """Lets another thread act in the middle of what is done here: it ends soon, or waits for us."""

    def __init__(self, action: Any) -> None:
        self.thread = threading.Thread(target=action)

    def __call__(self) -> None:
        if self.thread.ident is None:
            self.thread.start()
            self.thread.join(0.3)


def test_two_threads_have_one_view_of_a_context(attached: Any) -> None:
    seen: list[Any] = []
    meanwhile = Meanwhile(lambda: seen.append(attached._session.view(*TOLD)))

    class Known(dict[int, Any]):
        def get(self, number: int, default: Any = None) -> Any:  # type: ignore[override]
            found = super().get(number, default)
            meanwhile()
            return found

    attached._session.contexts = Known()
    view = attached._session.view(*TOLD)
    meanwhile.thread.join()
    assert seen == [view]


def test_two_threads_see_that_a_context_is_ready(attached: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    number, name, via, _, *rest = TOLD
    view = attached._session.view(number, name, via, False, *rest)
    seen: list[Any] = []
    meanwhile = Meanwhile(lambda: seen.append(attached._session.view(*TOLD)))
    advance = Node.advance

    def advanced(context: Any, event: str, error: Any = None) -> None:
        meanwhile()
        advance(context, event, error)

    monkeypatch.setattr(Node, 'advance', advanced)
    assert attached._session.view(*TOLD) is view
    meanwhile.thread.join()
    assert seen == [view]
    assert view.ready


def test_a_view_that_is_made_as_the_program_goes_hears_of_that(attached: Any) -> None:
    attached._session.close()
    with pytest.raises(econtext.ContextLost, match='is gone'):
        attached._session.view(*TOLD).facade.call(os.getpid)
