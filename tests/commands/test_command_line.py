"""The command `econtext` against a real sshd: each of its commands, through pipes and in a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import eventually, pythons
from lab.accounts import Accounts
from lab.sshd import Sshd, reserved_port
from lab.terminals import SECONDS, Terminal

# Each test starts several programs, and a busy machine takes seconds for each.
pytestmark = pytest.mark.deadline(300)

SCRIPT = """\
import sys
import beside

print(beside.greet(), sys.argv[1:], __name__)
"""


def start(words: Sequence[str], **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, '-m', 'econtext', *words], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **options)


def econtext(*words: str, input: str = '', cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'econtext', *words], text=True, input=input, capture_output=True, timeout=SECONDS,
        cwd=cwd)


@pytest.fixture
def way(sshd: Sshd, accounts: Accounts) -> list[str]:
    """The options by which `lab` is reached, as a user who may use sudo."""
    return sshd.ssh_args(accounts['nopw'].name)


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / 'scripts'
    folder.mkdir()
    (folder / 'beside.py').write_text('def greet():\n    return "hello"\n\ndef fail():\n    raise ValueError("so")\n')
    (folder / 'script.py').write_text(SCRIPT)
    return folder


class Typing(Terminal):
    """A command in a terminal of its own."""

    def __init__(self, *words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
        master, slave = pty.openpty()
        super().__init__(master)
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'econtext', *words], stdin=slave, stdout=slave, stderr=slave, cwd=cwd,
            env={**os.environ, 'TERM': 'xterm', **(env or {})}, start_new_session=True)
        os.close(slave)

    def wait(self) -> int:
        return self.process.wait(SECONDS)


# -- exec ---------------------------------------------------------------------


def test_exec_has_our_streams_and_the_status(way: list[str]) -> None:
    done = econtext('exec', 'lab', *way, '--', 'cat; echo err >&2; exit 7', input='in\nß')
    assert (done.returncode, done.stdout, done.stderr) == (7, 'in\nß', 'err\n')
    words = econtext('exec', 'lab', *way, 'printf', '%s|', '$HOME', '-x', 'a b')
    assert (words.returncode, words.stdout) == (0, '$HOME|-x|a b|')
    assert econtext('exec', 'lab', *way, '--sudo', '--', 'id', '-u').stdout == '0\n'


@pytest.mark.parametrize(('command', 'status'), [
    ('kill -9 $$', 137), ('exit 255', 255), ('no-such-program', 127),
])  # fmt: skip
def test_exit_statuses_of_exec(way: list[str], command: str, status: int) -> None:
    assert econtext('exec', 'lab', *way, '--', command).returncode == status


def test_exec_of_a_program_that_is_not_there(way: list[str]) -> None:
    done = econtext('exec', 'lab', *way, '--', 'no-such-program', 'x')
    assert done.returncode == 127
    assert done.stderr.count('\n') == 1
    assert 'no-such-program' in done.stderr


def test_what_cannot_be_run_has_one_status_on_one_host_and_on_many(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    for style in [], ['--tag'], ['--json']:
        for words, status in (['no-such', 'x'], 127), ([str(tmp_path / 'file'), 'x'], 126), (['/bin/pwd', '-L'], 1):
            done = econtext('exec', 'local', *style, '--chdir', '/none' if status == 1 else '/', '--', *words)
            assert done.returncode == status, done
            assert 'cwd=' not in done.stdout + done.stderr
            assert ('--chdir' in done.stdout + done.stderr) == (status == 1)


def test_exec_ends_late_and_without_a_reader(way: list[str]) -> None:
    done = econtext('exec', 'lab', *way, '--timeout', '0.5', '--', 'echo out; sleep 600')
    assert (done.returncode, done.stdout, done.stderr) == (124, 'out\n', 'econtext: lab: ended after --timeout 0.5\n')
    with start(['exec', 'lab', *way, '--', 'yes']) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == 'y\n'
        process.stdout.close()
        assert process.wait(SECONDS) == 141
        assert process.stderr.read() == ''


def test_exec_on_many_hosts(way: list[str]) -> None:
    done = econtext('exec', 'lab,lab-2,local', *way, '--', 'echo out; echo err >&2; exit 3')
    assert done.returncode == 3
    assert sorted(done.stdout.splitlines()) == ['[lab-2] out', '[lab]   out', '[local] out']
    assert '[lab-2] err' in done.stderr
    assert '3 of 3 hosts failed' in done.stderr
    told = [json.loads(line) for line in econtext(
        'exec', 'lab,lab-2', *way, '--json', '--', 'echo out').stdout.splitlines()]
    for host in 'lab', 'lab-2':
        assert {'host': host, 'stream': 'stdout', 'line': 'out'} in told
        assert {'host': host, 'status': 0} in told
    grouped = econtext('exec', 'lab,lab-2', *way, '--group', '--', 'echo a; echo b').stdout
    assert grouped in {'[lab]  \na\nb\n[lab-2]\na\nb\n', '[lab-2]\na\nb\n[lab]  \na\nb\n'}


@pytest.mark.parametrize(('style', 'end'), [('--group', '[%s]'), ('--json', '{"host": "%s", "status": 0}')])
def test_a_host_is_told_at_its_end(way: list[str], tmp_path: Path, style: str, end: str) -> None:
    go_on = tmp_path / 'go-on'
    one_waits = f'test "$SSH_CONNECTION" || while ! test -e {go_on}; do sleep 0.02; done; echo done'
    argv = [sys.executable, '-m', 'econtext', 'exec', 'local,lab', *way, style, '--', one_waits]
    environ = {name: value for name, value in os.environ.items() if name != 'SSH_CONNECTION'}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout
        assert any(end % 'lab' in line for line in process.stdout), 'one is told while the other works'
        go_on.touch()
        assert end % 'local' in process.stdout.read()


def test_a_host_that_cannot_be_reached(way: list[str]) -> None:
    with reserved_port() as port:
        gone = econtext('exec', f'127.0.0.1:{port}', '-F', '/dev/null', '--', 'true')
        assert gone.returncode == 255
        assert 'Traceback' not in gone.stderr
        both = econtext('exec', f'lab,127.0.0.1:{port}', *way, '--', 'echo out')
    assert both.returncode == 255
    assert 'out' in both.stdout


def test_exec_in_a_terminal(way: list[str]) -> None:
    typing = Typing('exec', 'lab', *way, '-t', '--', 'tty; echo [$TERM]; read line; echo "got $line"; exit 4')
    typing.expect('/dev/pts/')
    typing.expect('[xterm]')
    typing.type('word\r')
    typing.expect('got word')
    assert typing.end() == 4


# -- run ----------------------------------------------------------------------


def test_run_a_script_with_its_modules(way: list[str], scripts: Path) -> None:
    done = econtext('run', 'lab', *way, str(scripts / 'script.py'), '-x', '--', 'b c')
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello ['-x', '--', 'b c'] __main__\n", '')
    many = econtext('run', 'lab,lab-2', *way, str(scripts / 'script.py'))
    assert sorted(many.stdout.splitlines()) == ['[lab-2] hello [] __main__', '[lab]   hello [] __main__']


@pytest.mark.parametrize('words', [('script.py',), ('script:main',)])
def test_the_modules_are_sent_ahead(way: list[str], tmp_path: Path, words: tuple[str, ...]) -> None:
    """All at once: the script need not ask for one after the other."""
    (tmp_path / 'script.py').write_text('import first\ndef main():\n    return first.x\nprint(main())\n')
    for name, needs in ('first', 'second'), ('second', 'third'):
        (tmp_path / f'{name}.py').write_text(f'from {needs} import x\n')
    (tmp_path / 'third.py').write_text('x = 5\n')
    done = econtext('run', '-vv', '--no-server', 'lab', *way, *words, cwd=tmp_path)
    assert done.stdout.startswith('5\n'), done
    assert 'first, second, third' in done.stderr
    for name in 'script', 'first', 'second', 'third':
        assert f'< module {name}' not in done.stderr


@pytest.mark.parametrize(('code', 'status', 'output'), [
    ('import sys; sys.exit(7)', 7, ''),
    ('import sys; sys.exit("so")', 1, ''),
    ('import os; os.write(1, b"out"); os._exit(9)', 9, 'out'),
    ('import os, signal; os.write(1, b"out"); os.kill(os.getpid(), signal.SIGTERM)', 143, 'out'),
    ('import atexit; atexit.register(print, "last"); print("first")', 0, 'first\nlast\n'),
    ('import threading, time\nthreading.Timer(0.1, print, ["later"]).start()', 0, 'later\n'),
    ('import subprocess; subprocess.run(["cat"])', 0, 'given'),
    ('import sys; sys.excepthook = lambda *error: sys.exit(4)\nraise ValueError', 4, ''),
    ('import sys; sys.excepthook = lambda kind, *error: print(kind, sys.exc_info()[0])\nraise ValueError', 1,
     "<class 'ValueError'> None\n"),
    ('import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())', 0, 'given'),
])  # fmt: skip
def test_how_a_script_ends(way: list[str], tmp_path: Path, code: str, status: int, output: str) -> None:
    (tmp_path / 'it.py').write_text(code)
    done = econtext('run', 'lab', *way, str(tmp_path / 'it.py'), input='given')
    assert (done.returncode, done.stdout) == (status, output), done.stderr


def test_a_traceback_has_the_lines_of_the_script_alone(way: list[str], scripts: Path) -> None:
    (scripts / 'it.py').write_text('import beside\nbeside.fail()\n')
    done = econtext('run', 'lab', *way, 'it.py', cwd=scripts)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    title = 'Traceback (most recent call last):'
    assert lines[0] == title
    assert [line for line in lines if line.startswith('  File')] == [
        '  File "it.py", line 2, in <module>', f'  File "{scripts}/beside.py", line 5, in fail']
    assert lines[-1] == 'ValueError: so'
    (scripts / 'broken.py').write_text('raise KeyError("import")\n')
    (scripts / 'it.py').write_text('import broken\n')
    done = econtext('run', 'lab', *way, 'it.py', cwd=scripts)
    assert 'econtext' not in done.stderr.replace(str(scripts), '')
    (scripts / 'it.py').write_text(
        'import sys, traceback\n'
        'def hook(kind, error, trace):\n    traceback.print_exception(kind, error, trace)\n    raise KeyError("hook")\n'
        'sys.excepthook = hook\nraise ValueError("so")\n')
    done = econtext('run', 'lab', *way, 'it.py', cwd=scripts)
    assert [line for line in done.stderr.splitlines() if line and not line.startswith('    ')] == [
        *(told := [title, '  File "it.py", line 6, in <module>', 'ValueError: so']),
        'Error in sys.excepthook:', title, '  File "it.py", line 4, in hook', "KeyError: 'hook'",
        'Original exception was:', *told]


@pytest.mark.parametrize('version', ['2.7', '3.6', 'ours'])
@pytest.mark.parametrize(('words', 'files', 'last'), [
    (('it.py',), ['it.py', 'broken.py'], "KeyError: 'import'"),
    (('broken:main',), ['broken.py'], "KeyError: 'import'"),
    (('no_such:main',), [], 'Error: No module named '),
    (('os:no_such',), [], "AttributeError: "),
    (('-c', 'x ='), ['-c'], 'SyntaxError: invalid syntax'),
])  # fmt: skip
def test_a_traceback_here_shows_no_line_of_ours(
    scripts: Path, version: str, words: tuple[str, ...], files: list[str], last: str
) -> None:
    (scripts / 'broken.py').write_text('raise KeyError("import")\n')
    (scripts / 'it.py').write_text('import broken\n')
    path = sys.executable if version == 'ours' else str(pythons.interpreter(version))
    done = econtext('run', 'local', '--python', path, *words, cwd=scripts)
    assert done.returncode == 1
    named = re.findall('File "([^"]*)", line', done.stderr)
    assert [os.path.basename(file) for file in named] == files
    assert last in done.stderr.splitlines()[-1]
    assert ('Traceback' in done.stderr) == (files not in ([], ['-c'])), done.stderr


def test_ctrl_c_interrupts_the_script_there(way: list[str], tmp_path: Path) -> None:
    (tmp_path / 'it.py').write_text(
        'import time\ntry:\n    print("ready", flush=True)\n    time.sleep(600)\nexcept KeyboardInterrupt:\n'
        '    print("interrupted")\n    raise SystemExit(5)\n')
    with start(['run', 'lab', *way, str(tmp_path / 'it.py')]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'ready\n'
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == 'interrupted\n'
        assert process.wait(SECONDS) == 5
    typing = Typing('run', 'lab', *way, '-t', str(tmp_path / 'it.py'))
    typing.expect('ready')
    typing.type('\x03')
    typing.expect('interrupted')
    assert typing.end() == 5


def test_sigterm_is_passed_on(way: list[str], tmp_path: Path) -> None:
    (tmp_path / 'it.py').write_text('import time\nprint("ready", flush=True)\ntime.sleep(600)\n')
    with start(['run', 'lab', *way, str(tmp_path / 'it.py')]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'ready\n'
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 143


def test_run_a_function(way: list[str], scripts: Path) -> None:
    assert econtext('run', 'lab', *way, 'beside:greet', cwd=scripts).stdout == 'hello\n'
    assert econtext('run', 'lab', *way, 'os.path:join', '/a', 'b').stdout == '/a/b\n'
    assert econtext('run', 'lab', *way, '--json', 'builtins:divmod', '7', '2').stdout == '[3, 1]\n'
    assert econtext('run', 'lab', *way, 'builtins:sorted', '[2, 1]', 'reverse=True').stdout == '[2, 1]\n'
    assert econtext('run', 'lab', *way, '-', input='print(6 * 7)').stdout == '42\n'


def test_run_code_as_python_does(way: list[str], scripts: Path) -> None:
    """What follows the code is for the code; modules beside the current folder are found, with `-` too."""
    code = 'import sys, beside; print(sys.argv, __name__, beside.greet())'
    done = econtext('run', 'lab', *way, '-c', code, '--json', '-c', cwd=scripts)
    assert done.stdout == "['-c', '--json', '-c'] __main__ hello\n", done
    assert econtext('run', *way, '-c', 'print(7)', 'lab').stdout == '7\n'
    piped = econtext('run', 'lab', *way, '-', input='import beside; print(beside.greet())', cwd=scripts)
    assert piped.stdout == 'hello\n'
    assert 'line 1, in <module>' in econtext('run', 'lab', *way, '-c', '1 / 0').stderr


@pytest.mark.parametrize('code', ['pass', 'signal.signal(signal.SIGTERM, signal.SIG_IGN)'])
def test_run_ends_late(way: list[str], code: str) -> None:
    """A script that ignores SIGTERM is killed; one that ends before its time is over has its own status."""
    late = f'import signal, time; {code}; print(1, flush=True); time.sleep(600)'
    done = econtext('run', 'lab', *way, '--timeout', '0.5', '-c', late)
    assert (done.returncode, done.stdout, done.stderr) == (124, '1\n', 'econtext: lab: ended after --timeout 0.5\n')
    assert econtext('run', 'lab', *way, '--timeout', '600', '-c', 'raise SystemExit(3)').returncode == 3


def test_run_on_many_hosts_ends_late() -> None:
    done = econtext('run', '--tag', 'local', '--timeout', '0.5', '-c', 'import time; time.sleep(600)')
    assert (done.returncode, done.stdout) == (124, '')
    assert done.stderr == '[local] econtext: ended after --timeout 0.5\n'


def test_exec_in_a_terminal_ends_late(way: list[str]) -> None:
    typing = Typing('exec', 'lab', *way, '-t', '--timeout', '0.5', '--', 'sleep', '600')
    typing.expect('lab: ended after --timeout 0.5')
    assert typing.end() == 124


# -- shell --------------------------------------------------------------------


def test_a_prompt_knows_the_modules_here_and_remembers(way: list[str], scripts: Path, tmp_path: Path) -> None:
    environment = {'XDG_STATE_HOME': str(tmp_path / 'state')}
    typing = Typing('shell', 'lab', *way, cwd=scripts, env=environment)
    typing.expect('>>> ')
    typing.type('import beside, os\r')
    typing.expect('>>> ')
    typing.type('print(beside.greet() + "!", os.isatty(0))\r')
    typing.expect('hello! True')
    typing.expect('>>> ')
    typing.type('import sys; sys.excepthook = lambda *error: 1 / 0\r')
    typing.expect('>>> ')
    typing.type('none\r')
    typing.expect('ZeroDivisionError')
    typing.expect('NameError')
    typing.expect('>>> ')
    typing.type('raise SystemExit(3)\r')
    assert typing.end() == 3
    history = tmp_path / 'state' / 'econtext' / 'history'
    if history.exists():    # a Python there without readline remembers nothing
        assert 'import beside, os' in history.read_text().splitlines()
        assert history.stat().st_mode & 0o777 == 0o600
    assert econtext('shell', 'lab', *way, cwd=scripts, input='import beside\nprint(beside.greet())').stdout == 'hello\n'


def waits_for_keys(pid: int) -> bool:
    """Is the process in a call of the kernel that waits for input? Python hears late of a signal just before that."""
    # read, poll, select, pselect6 and ppoll, of x86_64 and of aarch64.
    return Path(f'/proc/{pid}/syscall').read_text().split()[0] in {'0', '7', '23', '270', '271', '63', '72', '73'}


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.15', 'ours'])
def test_ctrl_c_at_a_prompt_is_what_it_is_at_that_of_python(version: str, tmp_path: Path) -> None:
    """At an idle prompt, in a half-typed line and in the lines of a block it ends these; in a statement it raises."""
    (tmp_path / 'fails.py').write_text('raise ValueError("so")\n')
    path = sys.executable if version == 'ours' else str(pythons.interpreter(version))
    typing = Typing('shell', 'local', '--python', path, cwd=tmp_path, env={'XDG_STATE_HOME': str(tmp_path)})
    typing.expect('>>> ')
    typing.type('import os; print("process %d" % os.getpid())\r')
    typing.expect('process %d')
    typing.expect('process ')
    typing.expect('>>> ')
    pid = int(re.findall(rb'process (\d+)', typing.seen)[0])
    # What is typed before, each with what shows then.
    lines, block, rest = ('half', 'half'), ('def f():\r', '... '), ('"half" + (\r', '... ')
    for pieces in (), (lines,), (block,), (rest,), (block, lines):
        for piece, shown in pieces:
            typing.type(piece)
            typing.expect(shown)
        eventually(lambda: waits_for_keys(pid), what='the prompt waits for no key')
        typing.type('\x03')
        typing.expect('KeyboardInterrupt')
        typing.expect('>>> ')
    assert b'Traceback' not in typing.seen
    typing.type('def f(): import sys, time; print("ru" + "ns"); sys.stdout.flush(); time.sleep(600)\r\r')
    for typed in 'f()\r', 'while 1: f()\r\r':
        typing.type(typed)
        typing.expect('runs')
        typing.type('\x03')
        typing.expect('Traceback (most recent call last)')
        typing.expect('KeyboardInterrupt\r\n')
        typing.expect('>>> ')
    typing.type('import fails\r')
    typing.expect('ValueError: so\r\n')
    typing.type('import sys; print(sys.last_traceback.tb_frame.f_code.co_filename)\r')
    typing.expect('<console>\r')
    typing.expect('>>> ')
    eventually(lambda: waits_for_keys(pid), what='the prompt waits for no key')
    typing.type('\x04')
    assert typing.end() == 0
    files = re.findall(rb'File "([^"]*)", line', typing.seen)
    assert [os.path.basename(file) for file in files] == 2 * [b'<console>', b'<console>'] + [b'<console>', b'fails.py']
    assert b'now exiting' not in typing.seen


def test_no_prompt_stays_behind_a_closed_terminal() -> None:
    """Whoever ignores the signal there, and has half a line, at which the end of the input is none."""
    typing = Typing('shell', 'local')
    typing.expect('>>> ')
    typing.type('import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\r')
    typing.expect('>>> ')
    typing.type('half a line')
    typing.expect('half a line')
    os.close(typing.master)
    # 1 if the prompt has shown something since.
    assert typing.wait() in (1, 129)


# -- files --------------------------------------------------------------------


@pytest.fixture
def there(way: list[str], accounts: Accounts) -> str:
    """A new folder of the account there."""
    path = econtext('exec', 'lab', *way, '--', 'mktemp -d').stdout.strip()
    assert path.startswith('/')
    return path


def test_copies(way: list[str], there: str, tmp_path: Path) -> None:
    (tmp_path / 'site' / 'sub').mkdir(parents=True)
    (tmp_path / 'site' / 'sub' / 'a').write_text('A')
    (tmp_path / 'one').write_text('1')
    assert econtext('cp', *way, str(tmp_path / 'one'), f'lab:{there}/').returncode == 0
    refused = econtext('cp', *way, str(tmp_path / 'site'), f'lab:{there}')
    assert (refused.returncode, refused.stderr.count('\n')) == (1, 1)
    assert econtext('cp', '-r', *way, str(tmp_path / 'site'), f'lab:{there}').returncode == 0
    assert econtext('cp', *way, f'lab:{there}/site/sub/a', str(tmp_path / 'back')).returncode == 0
    assert (tmp_path / 'back').read_text() == 'A'
    (tmp_path / 'got').mkdir()
    assert econtext('cp', *way, f'lab:{there}/o*', str(tmp_path / 'got')).returncode == 0
    assert (tmp_path / 'got' / 'one').read_text() == '1'
    assert econtext('cp', *way, f'lab:{there}/one', f'lab-2:{there}/two').returncode == 0
    assert econtext('cp', *way, '-', f'lab:{there}/piped', input='through').returncode == 0
    assert econtext('cp', *way, f'lab:{there}/piped', '-').stdout == 'through'
    assert econtext('ls', '-F', way[1], '--username', way[3], f'lab:{there}').stdout.split() == [
        'one', 'piped', 'site', 'two']
    gone = econtext('cp', *way, f'lab:{there}/nothing', str(tmp_path))
    assert (gone.returncode, gone.stderr.count('\n')) == (1, 1)


def test_a_pipe_is_copied_and_told_as_json(tmp_path: Path) -> None:
    done = econtext('cp', '--json', '-', f'local:{tmp_path}/file', input='data')
    assert json.loads(done.stdout) == {'source': '-', 'path': f'{tmp_path}/file', 'files': 1, 'bytes': 4}, done
    mixed = econtext('cp', '--json', f'local:{tmp_path}/file', '-')
    assert (mixed.returncode, mixed.stdout) == (2, '')
    assert econtext('cp', f'local:{tmp_path}/file', '-').stdout == 'data'
    odd = os.fsdecode(b'\xff')
    (tmp_path / odd).write_text('x')
    named = econtext('cp', '--json', str(tmp_path / odd), f'local:{tmp_path}/other')
    assert json.loads(named.stdout)['source'] == f'{tmp_path}/\ufffd', named


def test_cp_has_the_options_of_scp(way: list[str], there: str, tmp_path: Path, sshd: Sshd) -> None:
    (tmp_path / 'old').write_text('1')
    os.utime(tmp_path / 'old', (1e9, 1e9))
    assert econtext('cp', '-pqC', *way, '-P', str(sshd.port), str(tmp_path / 'old'), f'lab:{there}/').returncode == 0
    assert econtext('cp', '-p', *way, '-J', 'local,local', f'lab:{there}/old', str(tmp_path / 'back')).returncode == 0
    assert (tmp_path / 'back').stat().st_mtime == 1e9
    with reserved_port() as port:
        done = econtext('cp', *way, '-P', str(port), str(tmp_path / 'old'), f'lab:{there}/')
    assert done.returncode == 255
    assert 'correct --port.' in done.stderr


def test_sync_has_the_options_of_rsync(way: list[str], there: str, tmp_path: Path) -> None:
    (tmp_path / 'site').mkdir()
    (tmp_path / 'site' / 'a').write_text('a')
    assert econtext('sync', '-avz', '--delete', *way, f'{tmp_path}/site', f'lab:{there}').returncode == 0
    assert econtext('ls', '-F', way[1], '--username', way[3], f'lab:{there}/site').stdout == 'a\n'


def test_sync_sends_what_differs(way: list[str], there: str, tmp_path: Path) -> None:
    site = tmp_path / 'site'
    site.mkdir()
    for name in 'abc':
        (site / name).write_text(name)
    told = json.loads(econtext('sync', '--json', *way, f'{site}/', f'lab:{there}/s').stdout)
    assert (told['files'], told['unchanged']) == (3, 0)
    (site / 'a').write_text('other')
    (site / 'b').unlink()
    dry = econtext('sync', '--delete', '-n', *way, f'{site}/', f'lab:{there}/s')
    assert dry.stdout.split() == ['send', 'a', 'delete', 'b']
    told = json.loads(econtext('sync', '--delete', '--json', *way, f'{site}/', f'lab:{there}/s').stdout)
    assert (told['files'], told['unchanged'], told['deleted']) == (1, 1, 1)
    assert econtext('sync', *way, f'lab:{there}/s', str(tmp_path / 'back')).returncode == 0
    assert sorted(path.name for path in (tmp_path / 'back' / 's').iterdir()) == ['a', 'c']


def test_listing(way: list[str], there: str) -> None:
    econtext('exec', 'lab', *way, '-C', there, '--', 'echo 123 >f; ln -s f l; mkdir d; touch .h')
    reach = ['-F', way[1], '--username', way[3]]
    assert econtext('ls', *reach, f'lab:{there}').stdout.split() == ['d', 'f', 'l']
    long = econtext('ls', '-la', *reach, f'lab:{there}').stdout.splitlines()
    assert [line.split()[0][0] for line in long] == ['-', 'd', '-', 'l']
    assert long[-1].endswith('l -> f')
    found = [json.loads(line) for line in econtext('ls', '--json', *reach, f'lab:{there}').stdout.splitlines()]
    assert [(each['name'], each['type']) for each in found] == [('d', 'folder'), ('f', 'file'), ('l', 'link')]
    some = econtext('ls', *reach, f'lab:{there}/nothing', f'lab:{there}/f')
    assert (some.returncode, some.stderr) == (1, f'econtext: lab:{there}/nothing: No such file or directory\n')
    assert some.stdout.split() == [f'lab:{there}/f:', f'{there}/f']
    econtext('exec', 'lab', *way, '-C', there, '--', 'touch -d @1 d; head -c 1500 /dev/zero >f; rm .h l; touch -d @9 f')
    assert econtext('ls', '-1tr', *reach, f'lab:{there}').stdout.split() == ['d', 'f']
    assert econtext('ls', '-t', *reach, f'lab:{there}').stdout.split() == ['f', 'd']
    assert ' 1.5 kB ' in econtext('ls', '-lhS', *reach, f'lab:{there}').stdout
    assert econtext('ls', '-ld', *reach, f'lab:{there}').stdout.startswith('drwx')


# -- fleet, and what makes no sense -------------------------------------------


def test_which_hosts_answer(way: list[str], tmp_path: Path) -> None:
    with reserved_port() as port:
        done = econtext('fleet', 'lab,local', f'127.0.0.1:{port}', *way)
    rows = [line.split()[:2] for line in done.stdout.splitlines()]
    assert done.returncode == 255
    assert rows[:3] == [['HOST', 'ANSWERS'], ['lab', 'yes'], ['local', 'yes']]
    assert rows[3][1] == 'no'
    (tmp_path / 'ansible.toml').write_text('[groups.eu]\nhosts = ["lab", "lab-2"]\n')
    found = econtext('fleet', '-I', str(tmp_path / 'ansible.toml'), '@eu', *way, '--json')
    assert [json.loads(line)['host'] for line in found.stdout.splitlines()] == ['lab', 'lab-2'], found


@pytest.mark.parametrize('words', [
    ('no-such-command',), ('exec',), ('exec', 'local'), ('exec', 'a,,b', '--', 'x'), ('run', 'local', 'no-such.py'),
    ('cp', 'a'), ('exec', '-oProxyCommand=x', '--', 'x'), ('shell', 'a b'), ('exec', '@nobody', '--', 'true'),
    ('fleet',), ('ls', '/etc'), ('exec', 'local', '--env', '=x', '--', 'true'),
])  # fmt: skip
def test_what_makes_no_sense(words: tuple[str, ...]) -> None:
    done = econtext(*words)
    assert done.returncode == 2, done
    assert done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(('words', 'hint'), [
    (('rnu', 'web1', 'x.py'), 'did you mean run?'), (('web1', 'ls'), 'econtext exec web1 -- COMMAND'),
    (('cp', '-3', 'a:b', 'c:d'), 'through this machine anyway'), (('ls', '-R', 'web1'), "'web1:/etc/*'"),
    (('sync', '-e', 'ssh', 'a', 'b:'), '-p, -i, -F, -o and -J'), (('sync', '--exclude=x', 'a', 'b:'), 'one by one'),
    (('shell', 'web*'), 'this command is for one'), (('shell', 'web1,web2'), 'this command is for one'),
    (('doctor', 'web1,web2'), 'this command is for one'),
    (('exec', '--batch', 'x', 'local', '--', 'true'), 'such as 10%'),
    (('exec', '--stop-after', '0', 'local', '--', 'true'), 'such as 10%'),
    (('run', 'web1'), '-c CODE'), (('serve', '--json'), '--json is for --status'),
])  # fmt: skip
def test_what_to_type_instead(words: tuple[str, ...], hint: str) -> None:
    done = econtext(*words)
    assert done.returncode == 2
    assert hint in done.stderr


@pytest.mark.parametrize('words', [('--help',), ('-h',), ('help',), ('help', 'run'), ('-V',), ('--version',)])
def test_help_and_version(words: tuple[str, ...]) -> None:
    done = econtext(*words)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout


def test_output_that_cannot_be_written_is_told_once() -> None:
    for words in ('exec', 'local', '--', 'echo x'), ('--version',):
        with open('/dev/full', 'w') as full:
            done = subprocess.run(
                [sys.executable, '-m', 'econtext', *words], stdout=full, stderr=subprocess.PIPE, text=True,
                timeout=SECONDS)
        assert (done.returncode, done.stderr) == (1, 'econtext: No space left on device\n')


@pytest.mark.parametrize(('closed', 'output'), [
    ('<&-', '2\n'), ('>&-', ''), ('2>&-', '2\n'), ('<&- >&- 2>&-', ''),
])  # fmt: skip
def test_standard_streams_that_are_closed(closed: str, output: str, tmp_path: Path) -> None:
    """No file of ours gets such a number, and writing there is no error."""
    (tmp_path / 'it.py').write_text('open(__file__ + ".out", "w").write("1")\nprint(2)\n')
    done = subprocess.run(
        ['/bin/sh', '-c', f'exec "$0" -m econtext run local it.py {closed}', sys.executable], cwd=tmp_path,
        capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, '')
    assert (tmp_path / 'it.py.out').read_text() == '1'


def test_without_arguments_it_tells_a_first_thing_to_type() -> None:
    done = econtext()
    assert done.returncode == 2
    assert 'econtext exec local -- uname -a' in done.stderr


def test_without_click_it_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / 'click.py').write_text('raise ImportError\n')
    done = subprocess.run(
        [sys.executable, '-m', 'econtext', '--help'], capture_output=True, text=True, timeout=SECONDS,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}:{os.environ.get("PYTHONPATH", "")}'})
    assert done.returncode == 1
    assert done.stderr.count('\n') == 1
    assert "pip install 'econtext[cli]'" in done.stderr


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_completion(shell: str) -> None:
    assert '_ECONTEXT_COMPLETE' in econtext('completion', shell).stdout
