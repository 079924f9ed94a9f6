"""`econtext serve` against a real sshd: what a command keeps of an own process, and how everything ends."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import eventually, leaks, terminals
from lab.accounts import Accounts
from lab.sshd import Sshd, reserved_port
from lab.terminals import SECONDS

# Each test starts several programs, and a busy machine takes seconds for each.
pytestmark = [
    pytest.mark.deadline(300),
    pytest.mark.skipif(not sys.platform.startswith('linux'), reason='the session server needs Linux'),
]
SLEEP = 'import time\nprint("ready", flush=True)\ntime.sleep(600)\n'


class Lab:
    """Commands with a folder for sockets of their own, against one sshd."""

    def __init__(self, folder: Path, sshd: Sshd, user: str) -> None:
        self.folder = folder
        self.sshd = sshd
        self.way = ['lab', *sshd.ssh_args(user)]
        self.env = {**os.environ, 'XDG_RUNTIME_DIR': str(folder), 'ECONTEXT_SERVER': 'auto'}
        self.before = self.logins()
        self.server: subprocess.Popen[bytes] | None = None

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command."""
        given: dict[str, Any] = {
            'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'env': self.env, **options}
        return subprocess.Popen([sys.executable, '-m', 'econtext', *words], **given)

    def run(self, *words: str, input: bytes = b'', **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a command."""
        return subprocess.run(
            [sys.executable, '-m', 'econtext', *words], input=input, capture_output=True, timeout=SECONDS,
            **{'env': self.env, **options})

    def serve(self, *words: str) -> None:
        """Start a server, and wait until it listens."""
        self.server = self.start('serve', *words, stdin=subprocess.DEVNULL, stdout=None, stderr=None)
        eventually(lambda: any(map(listens, self.sockets())), what='the server does not listen')

    def leave_descriptors(self, count: int) -> None:
        """Let the server have so many descriptors more than it has when no command runs."""
        assert self.server is not None
        # It answers once it has loaded all.
        assert self.run('serve', '--status').returncode == 0
        held = max(map(int, os.listdir(f'/proc/{self.server.pid}/fd')))
        resource.prlimit(self.server.pid, resource.RLIMIT_NOFILE, (held + 1 + count, 4096))

    def sockets(self) -> list[Path]:
        return list(self.folder.glob('econtext-serve/serve-*'))

    def logins(self) -> int:
        return self.sshd.log.read_text(errors='replace').count('Accepted publickey for')

    def connections(self) -> int:
        """Return how many connections there were."""
        return self.logins() - self.before

    def holder(self) -> int:
        """Return the process that has the contexts."""
        (found,) = [each.pid for each in self.children() if any(
            'ssh' in leaks.command_line(inner.pid).partition(' ')[0] for inner in leaks.descendants(each.pid))]
        return found

    def children(self) -> list[leaks.Process]:
        assert self.server is not None
        return [each for each in leaks.descendants(self.server.pid) if each.parent == self.server.pid]

    def worker(self) -> int:
        """Return the process that runs the one command."""
        holder = self.holder()
        (found,) = [each.pid for each in self.children() if each.pid != holder]
        return found

    def end(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.terminate()
            server.wait(SECONDS)


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


@pytest.fixture
def lab(sshd: Sshd, accounts: Accounts) -> Iterator[Lab]:
    # Not below tmp_path: the path of a socket is short.
    folder = Path(tempfile.mkdtemp(prefix='ect'))
    made = Lab(folder, sshd, accounts['nopw'].name)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)


@pytest.fixture
def served(lab: Lab) -> Lab:
    lab.serve()
    return lab


@pytest.fixture
def script(tmp_path: Path) -> Any:
    """A function that writes a script and returns its path."""
    def write(text: str, name: str = 'it.py') -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)
    return write


# -- what it is for -----------------------------------------------------------


def test_later_commands_make_no_connection(served: Lab, script: Any) -> None:
    path = script('import os, sys; print(os.getpid(), sys.argv[1:])')
    found = [served.run('run', *served.way, path, str(at)) for at in range(3)]
    assert [(done.returncode, done.stderr) for done in found] == [(0, b'')] * 3
    assert [done.stdout.split(b' ', 1)[1] for done in found] == [b"['%d']\n" % at for at in range(3)]
    assert len({done.stdout for done in found}) == 3
    done = served.run('exec', *served.way, '--', 'cat; exit 7', input=b'in')
    assert (done.returncode, done.stdout) == (7, b'in')
    assert served.run('shell', *served.way, input=b'print(6 * 7)').stdout == b'42\n'
    assert served.run('run', *served.way, '-', input=b'print(6 * 7)').stdout == b'42\n'
    assert served.connections() == 1
    assert served.run('run', *served.way, '--sudo', 'os:getuid').stdout == b'0\n'
    assert served.run('run', *served.way, '--sudo', 'os:getuid').stdout == b'0\n'
    assert served.connections() == 1


def test_a_script_sees_nothing_of_an_earlier_one(served: Lab, script: Any) -> None:
    """Neither its state, nor a module of the same name."""
    path = script(
        'import os, sys, beside\n'
        'print(beside.NAME, os.getcwd() == sys.argv[1], hasattr(os, "mark"), "MARK" in os.environ)\n'
        'os.mark = os.environ["MARK"] = "1"\nos.chdir("/")\n')
    home = served.run('exec', *served.way, '--', 'pwd').stdout.decode().strip()
    for name in 'abcb':
        script(f'NAME = {name!r}\n', 'beside.py')
        done = served.run('run', *served.way, path, home)
        assert done.stdout == b'%s True False False\n' % name.encode(), done.stderr
    assert served.connections() == 1


def test_two_commands_at_once(served: Lab, script: Any) -> None:
    path = script('import sys\nprint("ready", flush=True)\nprint(sys.stdin.read())\n')
    first, second = (served.start('run', *served.way, path) for _ in range(2))
    for process in first, second:
        assert process.stdout is not None
        assert process.stdout.readline() == b'ready\n'
    assert second.communicate(b'second', SECONDS)[0] == b'second\n'
    assert first.communicate(b'first', SECONDS)[0] == b'first\n'
    assert served.connections() <= 1


# -- what a command has -------------------------------------------------------


def test_streams_are_exact(served: Lab, script: Any) -> None:
    path = script(
        'import sys\ndata = sys.stdin.buffer.read()\nsys.stdout.buffer.write(data)\n'
        'sys.stderr.buffer.write(data[::-1])\n')
    data = os.urandom(1_000_000)
    for _ in range(2):
        done = served.run('run', *served.way, path, input=data)
        assert (done.returncode, done.stdout, done.stderr) == (0, data, data[::-1])


@pytest.mark.parametrize(('code', 'status', 'output'), [
    ('import sys; sys.exit(7)', 7, b''),
    ('import os; os.write(1, b"out"); os._exit(9)', 9, b'out'),
    ('import os, signal; os.write(1, b"out"); os.kill(os.getpid(), signal.SIGTERM)', 143, b'out'),
    ('import atexit; atexit.register(print, "last"); print("first")', 0, b'first\nlast\n'),
])  # fmt: skip
def test_how_a_script_ends(served: Lab, script: Any, code: str, status: int, output: bytes) -> None:
    path = script(code)
    for _ in range(2):
        done = served.run('run', *served.way, path)
        assert (done.returncode, done.stdout) == (status, output), done.stderr


def test_folder_environment_and_mask(served: Lab, tmp_path: Path) -> None:
    """They are those of the command, not of the server: modules are found beside it, and files of its making show."""
    for name in 'ab':
        folder = tmp_path / name
        folder.mkdir()
        (folder / 'mine.py').write_text(f'def name():\n    return {name!r}\n')
        done = served.run('run', *served.way, 'mine:name', cwd=folder)
        assert done.stdout == name.encode() + b'\n', done.stderr
        env = {**served.env, 'MARK': name}
        assert served.run('exec', *served.way, '-e', 'MARK', '--', 'echo $MARK', env=env).stdout == done.stdout
        home = folder / 'state'
        served.run('shell', *served.way, env={**env, 'XDG_STATE_HOME': str(home)}, input=b'1')
    assert served.run('run', *served.way, 'no-such.py', cwd=tmp_path).returncode == 2
    assert served.run('run', '--no-such-option').returncode == 2


def test_another_environment_has_another_connection(served: Lab) -> None:
    """Such as that of another agent of ssh."""
    for name in 'abab':
        env = {**served.env, 'SSH_AUTH_SOCK': f'/no/{name}'}
        assert served.run('run', *served.way, 'os:getpid', env=env).returncode == 0
    assert served.connections() == 2


def test_a_hook_for_exceptions_ends_with_its_script(served: Lab, script: Any) -> None:
    hooked = script('import sys\nsys.excepthook = lambda *error: sys.exit(4)\nraise ValueError\n')
    assert served.run('run', *served.way, hooked).returncode == 4
    done = served.run('run', *served.way, script('raise ValueError("so")\n'))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, b'ValueError: so')


# -- signals ------------------------------------------------------------------


def test_ctrl_c(served: Lab, script: Any) -> None:
    path = script(
        'import time\ntry:\n    print("ready", flush=True)\n    time.sleep(600)\nexcept KeyboardInterrupt:\n'
        '    print("interrupted")\n    raise SystemExit(5)\n')
    for _ in range(2):
        with served.start('run', *served.way, path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b'ready\n'
            process.send_signal(signal.SIGINT)
            assert process.stdout.read() == b'interrupted\n'
            assert process.wait(SECONDS) == 5


def test_sigterm(served: Lab, script: Any) -> None:
    with served.start('run', *served.way, script(SLEEP)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b'ready\n'
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 143


def test_stop_and_continue(served: Lab, script: Any) -> None:
    """What Ctrl-Z does stops the process of the server too."""
    with served.start('run', *served.way, script(SLEEP)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b'ready\n'
        worker = served.worker()
        process.send_signal(signal.SIGTSTP)
        for pid in worker, process.pid:
            eventually(lambda pid=pid: state(pid) == 'T', what='it runs on')    # type: ignore[misc]
        process.send_signal(signal.SIGCONT)
        for pid in worker, process.pid:
            eventually(lambda pid=pid: state(pid) != 'T', what='it does not go on')     # type: ignore[misc]
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 143


def state(pid: int) -> str:
    found = leaks.process(pid)
    return found.state if found else ''


def test_a_killed_command(served: Lab, script: Any) -> None:
    with served.start('run', *served.way, script('import os\nprint(os.getpid(), flush=True)\n' + SLEEP)) as process:
        assert process.stdout is not None
        far = int(process.stdout.readline())
        assert process.stdout.readline() == b'ready\n'
        worker = served.worker()
        process.kill()
        eventually(lambda: not leaks.alive(worker) and not leaks.alive(far), what='the script runs on')
    assert served.run('run', *served.way, 'os:getpid').returncode == 0
    assert served.connections() == 1


def test_a_killed_process_of_a_command(served: Lab, script: Any) -> None:
    with served.start('run', *served.way, script('import os\nprint(os.getpid(), flush=True)\n' + SLEEP)) as process:
        assert process.stdout is not None
        far = int(process.stdout.readline())
        os.kill(served.worker(), signal.SIGKILL)
        assert process.wait(SECONDS) == 137
        assert process.stderr is not None
        assert b'signal 9' in process.stderr.read()
        eventually(lambda: not leaks.alive(far), what='the script runs on')


def test_a_killed_holder(served: Lab, script: Any) -> None:
    with served.start('run', *served.way, script('import os\nprint(os.getpid(), flush=True)\n' + SLEEP)) as process:
        assert process.stdout is not None
        far = int(process.stdout.readline())
        os.kill(served.holder(), signal.SIGKILL)
        assert process.wait(SECONDS) == 255
        eventually(lambda: not leaks.alive(far), what='the script runs on')
    assert served.run('run', *served.way, 'os:getpid').returncode == 0
    assert served.connections() == 2


def test_a_killed_server(served: Lab, script: Any) -> None:
    with served.start('run', *served.way, script('import os\nprint(os.getpid(), flush=True)\n' + SLEEP)) as process:
        assert process.stdout is not None
        far = int(process.stdout.readline())
        others = [served.worker(), served.holder(), far]
        assert served.server is not None
        served.server.kill()
        assert process.wait(SECONDS) == 255
        assert process.stderr is not None
        assert b'the session server ended' in process.stderr.read()
        for pid in others:
            eventually(lambda pid=pid: not leaks.alive(pid), what='a process runs on')  # type: ignore[misc]
    # Its socket is stale.
    assert served.sockets()
    assert served.run('run', *served.way, 'os:getpid').returncode == 0
    served.end()
    served.serve()
    for _ in range(2):
        assert served.run('run', *served.way, 'os:getpid').returncode == 0
    assert served.connections() == 3


def test_a_server_that_is_terminated_ends_its_commands(served: Lab, script: Any) -> None:
    with served.start('run', *served.way, script(SLEEP)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b'ready\n'
        served.end()
        assert process.wait(SECONDS) == 129
    assert not list(served.folder.glob('econtext-serve/*'))


# -- terminals ----------------------------------------------------------------


class Typing(terminals.Typing):
    """A command in a terminal that controls it, with the folder for sockets of its lab."""

    def __init__(self, lab: Lab, *words: str, env: dict[str, str] | None = None) -> None:
        super().__init__(*words, env={**lab.env, **(env or {})})


SIZES = """\
import os, signal, sys
def show(*_):
    os.write(1, b'size %d %d\\n' % os.get_terminal_size())
signal.signal(signal.SIGWINCH, show)
show()
print(os.isatty(0), sys.stdin.readline().strip(), flush=True)
sys.exit(4)
"""


def test_a_terminal_and_its_size(served: Lab, script: Any) -> None:
    path = script(SIZES)
    for _ in range(2):
        typing = Typing(served, 'run', *served.way, '-t', path)
        typing.expect('size ')
        typing.size(33, 44)
        typing.expect('size 44 33')
        typing.type('word\r')
        typing.expect('True word')
        assert typing.end() == 4
    assert served.connections() == 1


def test_a_command_takes_streams_that_are_ready(served: Lab, script: Any) -> None:
    """Of each kind after each other kind: what is ready for one kind is no hindrance for another."""
    path = script('import sys; print(sys.stdin.read(), flush=True); sys.exit(3)')
    for _ in range(2):
        done = served.run('run', *served.way, path, input=b'in')
        assert (done.returncode, done.stdout, done.stderr) == (3, b'in\n', b'')
        done = served.run('exec', *served.way, '--', 'cat', input=b'in')
        assert (done.returncode, done.stdout, done.stderr) == (0, b'in', b'')
        typing = Typing(served, 'run', *served.way, '-t', script('print("got", input())', 'typed.py'))
        typing.type('ahead\r')
        typing.expect('got ahead')
        assert typing.end() == 0
    assert served.connections() == 1


def test_a_program_that_closes_its_output_and_goes_on(served: Lab, script: Any) -> None:
    """The end of its output is not its end; what it started and left there holds up nobody."""
    path = script("""
import os, subprocess, sys
if sys.argv[1:]:
    subprocess.Popen(['sleep', '3'], stdin=subprocess.DEVNULL)
print('printed', flush=True)
nothing = os.open(os.devnull, os.O_RDWR)
for fd in 1, 2:
    os.dup2(nothing, fd)
sys.stdin.read()
os._exit(5)
""")
    for words in [], [], ['hold']:
        with served.start('run', *served.way, path, *words) as process:
            assert process.stdout
            assert process.stdout.readline() == b'printed\n'
            assert process.poll() is None
            process.communicate(timeout=SECONDS)
        assert process.returncode == 5


def test_ctrl_c_in_a_terminal_without_one_there(served: Lab, script: Any) -> None:
    typing = Typing(served, 'run', *served.way, script(SLEEP))
    typing.expect('ready')
    typing.type('\x03')
    typing.expect('KeyboardInterrupt')
    assert typing.end() == 130


# -- a server on demand -------------------------------------------------------


def test_a_command_on_a_terminal_starts_a_server(lab: Lab) -> None:
    for _ in range(2):
        typing = Typing(lab, 'run', *lab.way, 'platform:node')
        assert typing.end() == 0
    assert lab.connections() == 1
    assert lab.run('run', *lab.way, 'os:getpid').returncode == 0
    assert lab.connections() == 1
    status = lab.run('serve', '--status')
    assert status.returncode == 0
    pid = int(status.stdout.split()[1])
    assert lab.run('serve', '--stop').returncode == 0
    eventually(lambda: not leaks.alive(pid), what='the server runs on')
    assert not list(lab.folder.glob('econtext-serve/*'))
    assert lab.run('serve', '--status').returncode == 1
    assert lab.run('serve', '--stop').returncode == 1


def test_who_wants_no_server_gets_none(lab: Lab) -> None:
    assert Typing(lab, 'run', '--no-server', *lab.way, 'platform:node').end() == 0
    assert Typing(lab, 'run', *lab.way, 'platform:node', env={'ECONTEXT_SERVER': '0'}).end() == 0
    assert lab.run('run', *lab.way, 'platform:node').returncode == 0
    assert not lab.sockets()
    lab.serve()
    for _ in range(2):
        assert lab.run('run', '--no-server', *lab.way, 'platform:node').returncode == 0
    assert lab.connections() == 5


def test_an_idle_server_ends(lab: Lab) -> None:
    lab.serve('--idle', '0.5')
    assert lab.server is not None
    assert lab.server.wait(SECONDS) == 0
    assert not list(lab.folder.glob('econtext-serve/*'))


def test_a_server_that_does_not_answer(served: Lab) -> None:
    """The command runs by itself, and not once more when the server goes on."""
    assert served.server is not None
    served.server.send_signal(signal.SIGSTOP)
    try:
        assert served.run('run', *served.way, 'os:getpid').returncode == 0
        told = served.run('serve', '--status')
        assert told.returncode == 1
        assert f'the session server, process {served.server.pid}, does not answer'.encode() in told.stderr
    finally:
        served.server.send_signal(signal.SIGCONT)
    # It has read what came before this question.
    assert b'running commands 0\n' in served.run('serve', '--status').stdout
    assert not leaks.descendants(served.server.pid)
    assert served.connections() == 1


@pytest.mark.parametrize('more', [0, 1, 2, 3, 4, 6, 8, 11])
def test_a_server_without_descriptors(served: Lab, more: int) -> None:
    """The command runs without the server, which runs on or ends, and holds nothing of the command."""
    command = ['exec', *served.way, '--', 'cat; echo so >&2; exit 7']
    served.leave_descriptors(more)
    done = served.run(*command, input=b'in')
    assert (done.returncode, done.stdout, done.stderr) == (7, b'in', b'so\n')


def test_who_wants_to_know_hears_that_the_server_is_exhausted(served: Lab) -> None:
    assert served.server is not None
    # For the connection of the command, and none of its descriptors.
    served.leave_descriptors(1)
    done = served.run('exec', '-v', *served.way, '--', 'echo x')
    assert (done.returncode, done.stdout) == (0, b'x\n')
    assert b'econtext: the session server has no process or descriptor left' in done.stderr
    resource.prlimit(served.server.pid, resource.RLIMIT_NOFILE, (4096, 4096))
    assert b'running commands 0\n' in served.run('serve', '--status').stdout
    for _ in range(2):
        assert served.run('exec', *served.way, '--', 'echo x').stdout == b'x\n'
    # The first of these was without the server.
    assert served.connections() == 2


def test_there_is_one_server(served: Lab) -> None:
    second = served.run('serve')
    assert second.returncode == 1
    assert b'a server runs already' in second.stderr


# -- what is not for the server -----------------------------------------------


def test_a_foreign_folder_is_refused(lab: Lab, tmp_path: Path) -> None:
    folder = lab.folder / 'econtext-serve'
    folder.mkdir()
    folder.chmod(0o755)
    refused = lab.run('serve')
    assert refused.returncode == 1
    assert b'is not a folder of this user alone' in refused.stderr
    assert lab.run('run', *lab.way, 'os:getpid', env={**lab.env, 'ECONTEXT_SERVER': '1'}).returncode == 0
    folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, 12345, -1)
        assert b'is not a folder of this user alone' in lab.run('serve').stderr
    refused = lab.run('serve', env={**lab.env, 'XDG_RUNTIME_DIR': str(tmp_path / 'of an earlier login')})
    assert refused.returncode == 1
    assert b'cannot be made: No such file or directory: correct XDG_RUNTIME_DIR' in refused.stderr


def test_a_changed_file_ends_the_server(lab: Lab, repository: Path, tmp_path: Path) -> None:
    """Of a copy of econtext: the next command runs by itself, with what the files say now."""
    shutil.copytree(repository / 'src', tmp_path / 'src', ignore=shutil.ignore_patterns('__pycache__', '*.bin'))
    lab.env['PYTHONPATH'] = str(tmp_path / 'src')
    lab.serve()
    for _ in range(2):
        assert lab.run('run', *lab.way, 'os:getpid').returncode == 0
    assert lab.connections() == 1
    with open(tmp_path / 'src' / 'econtext' / 'command_line' / 'run.py', 'a') as file:
        file.write('\n')
    assert lab.run('run', *lab.way, 'os:getpid').returncode == 0
    assert lab.connections() == 2
    assert lab.server is not None
    assert lab.server.wait(SECONDS) == 0


def test_another_python_meets_no_server(served: Lab) -> None:
    assert served.run('run', *served.way, 'os:getpid', env={**served.env, 'PYTHONHASHSEED': '1'}).returncode == 0
    assert not leaks.descendants(served.server.pid if served.server else 0)


def test_what_runs_here_as_before(served: Lab, script: Any) -> None:
    path = script('print(1)')
    many = served.run('run', 'lab,lab-2', *served.way[1:], path)
    assert sorted(many.stdout.splitlines()) == [b'[lab-2] 1', b'[lab]   1']
    assert served.run('run', 'local', path).stdout == b'1\n'
    assert served.run('exec', 'local', '--', 'cat', input=b'in').stdout == b'in'
    with reserved_port() as port:
        gone = served.run('exec', f'127.0.0.1:{port}', '-F', '/dev/null', '--', 'true')
    assert gone.returncode == 255
    assert b'Traceback' not in gone.stderr


def test_a_host_that_wants_a_password(lab: Lab, sshd: Sshd, accounts: Accounts) -> None:
    """It is asked for by the command itself, and the server tries that host no more."""
    account = accounts['sudo']
    lab.serve()
    words = ['run', 'lab', *sshd.ssh_args(account.name), '--sudo', 'os:getuid']
    for _ in range(2):
        typing = Typing(lab, *words)
        typing.expect('assword')
        typing.type(f'{account.password}\r')
        typing.expect('0')
        assert typing.end() == 0


@pytest.fixture
def strange(lab: Lab, sshd: Sshd, tmp_path: Path) -> tuple[list[str], Path, str]:
    """A way to the server, on which its key is not known: the words, the file for known keys, and the fingerprint."""
    hosts = tmp_path / 'hosts'
    hosts.touch()
    asking = ['-o', f'UserKnownHostsFile={hosts}', '-o', 'StrictHostKeyChecking=ask']
    return [lab.way[0], *asking, *lab.way[1:]], hosts, sshd.fingerprint()


@pytest.mark.parametrize('served', [False, True])
def test_a_key_that_is_not_known_is_asked_about(
    lab: Lab, strange: tuple[list[str], Path, str], served: bool
) -> None:
    """The person sees the fingerprint, and decides; with the key recorded a server has the connection again."""
    way, hosts, fingerprint = strange
    if served:
        lab.serve()
    lab.env['ECONTEXT_SERVER'] = 'auto' if served else '0'
    words = ['exec', *way, '--', 'echo', 'come', 'in']
    for refusal in 'no\r', '\x04':
        typing = Typing(lab, *words)
        typing.expect(f'{fingerprint}.\r\n')
        typing.expect('(yes/no/[fingerprint])? ')
        typing.type('maybe\r')
        typing.expect("'no' or the fingerprint: ")
        typing.type(refusal)
        typing.expect('key is not known')
        assert typing.end() == 255
        assert hosts.read_text() == ''
    typing = Typing(lab, *words)
    typing.expect('(yes/no/[fingerprint])? ')
    typing.type('SHA256:ofAnotherKey\r')
    typing.expect("'no' or the fingerprint: ")
    typing.type(f'{fingerprint}\r')
    typing.expect('come in')
    assert typing.end() == 0
    assert hosts.read_text() != ''
    before = lab.connections()
    for _ in range(2):
        assert lab.run(*words).stdout == b'come in\n'
    assert lab.connections() - before == (1 if served else 2)


def test_a_key_is_not_asked_about_where_nobody_answers(lab: Lab, strange: tuple[list[str], Path, str]) -> None:
    way, hosts, _ = strange
    lab.env['ECONTEXT_SERVER'] = '0'
    piped = lab.run('exec', *way, '--', 'true')
    assert piped.returncode == 255
    assert b"the host's key is not known" in piped.stderr
    for words in ['exec', '--json', *way, '--', 'true'], ['fleet', '--json', *way]:
        typing = Typing(lab, *words)
        typing.expect('key is not known')
        assert typing.end() != 0
    assert hosts.read_text() == ''


def test_ctrl_c_at_a_question_ends_the_command(lab: Lab, sshd: Sshd, accounts: Accounts) -> None:
    """Nobody waits for the answer any more, and the terminal shows what is typed, as before."""
    lab.env['ECONTEXT_SERVER'] = '0'
    typing = Typing(lab, 'exec', 'lab', *sshd.ssh_args(accounts['sudo'].name), '--sudo', '--', 'true')
    terminal = os.dup(typing.master)
    try:
        typing.expect('assword')
        assert not termios.tcgetattr(terminal)[3] & termios.ECHO
        typing.type('\x03')
        assert typing.end() == 130
        assert termios.tcgetattr(terminal)[3] & termios.ECHO
    finally:
        os.close(terminal)
