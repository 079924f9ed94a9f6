"""The parts of an isolated call that need no context: what a process says, how it ended, what is answered."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from econtext.child import ending, groups, separate, separated
from econtext.core.codec import encode
from econtext.parent.values import decode

SETTINGS = {'grace': 1.0, 'most': 10, 'capture': True}


def fork() -> separate.Fork:
    return separate.Fork(None, list, SETTINGS)  # type: ignore[arg-type]


def word(body: bytes, letter: str = 'v') -> bytes:
    return f'{letter}{len(body):016x}'.encode() + body


@pytest.mark.parametrize('how', [separate.RETURNED, separate.RAISED, separate.EXITED, separate.EXCEEDED])
@pytest.mark.parametrize('status', [None, 0, -9, 255])
def test_an_answer_crosses(how: str, status: int | None) -> None:
    parts = b'', bytes(range(256)), encode((1, 'a'))
    assert decode(encode(separate.Answer(how, status, *parts)), None) == (how, status, *parts)


@pytest.mark.parametrize('size', [1, 2, 16, 17, 18, 1000])
@pytest.mark.parametrize('body', [b'', b'n0:', b'x' * 100])
def test_what_is_said_is_heard_in_any_pieces(size: int, body: bytes) -> None:
    heard, data = fork(), word(body)
    for at in range(0, len(data), size):
        assert not heard.has_said_all()
        heard.hear(data[at:at + size])
    assert heard.has_said_all()
    answer = heard.answer()
    assert (answer.how, answer.parts) == (separate.RETURNED, (b'', b'', body))


def test_half_a_word_is_none() -> None:
    heard = fork()
    assert heard.answer().how == separate.EXITED
    heard.hear(word(b'body')[:-1])
    assert not heard.has_said_all()
    assert heard.answer().how == separate.EXITED
    assert heard.answer().parts[2] == b''


def test_an_exception_is_said_by_its_letter() -> None:
    heard = fork()
    heard.hear(word(b'described', 'e'))
    assert (heard.answer().how, heard.answer().parts[2]) == (separate.RAISED, b'described')


def test_too_much_counts_more_than_a_result_and_an_interruption_most() -> None:
    heard = fork()
    heard.hear(word(b'n0:'))
    heard.exceeded = True
    assert heard.answer().how == separate.EXCEEDED
    heard.called_away = b'described'
    assert (heard.answer().how, heard.answer().parts[2]) == (separate.RAISED, b'described')


def test_no_more_output_is_kept_than_allowed() -> None:
    heard = fork()
    ends: list[int] = []
    read, write = heard.pipe(ends, False)
    other, error = heard.pipe(ends, False)
    try:
        assert ends == [write, error]
        assert {read, other} <= set(separate.OPEN)
        heard.listen(read, heard.output[1])
        heard.listen(other, heard.output[2])
        os.write(write, b'12345')
        os.write(error, b'67890')
        heard.step(heard.look, 1)
        assert not heard.exceeded
        os.write(write, b'abc')
        heard.step(heard.look, 1)
        assert heard.exceeded
        os.write(error, b'def')
        heard.step(heard.look, 1)
        assert heard.answer().parts[:2] == (b'12345', b'67890')
    finally:
        heard.forget_all()
        for end in ends:
            os.close(end)
    assert not separate.OPEN


def test_pipes_are_above_the_first_three_and_not_inherited() -> None:
    program = (
        'import os, fcntl; os.close(0); os.close(1)\n'
        'from econtext.child import separate\n'
        'fork, ends = separate.Fork(None, list, dict(grace=1, most=1, capture=True)), []\n'
        'found = fork.pipe(ends, False) + fork.pipe(ends, True)\n'
        'assert min(found) > 2, found\n'
        'assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in found)\n'
        'assert ends == [found[1], found[2]]\n')
    subprocess.run([sys.executable, '-c', program], check=True)


@pytest.mark.parametrize(('status', 'code'), [(None, None), (0, 0), (3 << 8, 3), (9, -9), (15 | 128, -15)])
def test_statuses(status: int | None, code: int | None) -> None:
    assert separate.returncode(status) == code


@pytest.mark.parametrize(('argument', 'status'), [(None, 0), (0, 0), (3, 3), (256, 0), (-1, 255), ('why', 1), ('', 1)])
def test_the_status_of_a_system_exit_is_that_of_python(argument: Any, status: int) -> None:
    assert separated.status_of(SystemExit(argument)) == status
    done = subprocess.run([sys.executable, '-c', f'import sys; sys.exit({argument!r})'], stderr=subprocess.DEVNULL)
    assert done.returncode == status


def test_a_pipe_is_told_from_another_file() -> None:
    read, write = os.pipe()
    before = separated.identity(write)
    assert before == separated.identity(write) is not None
    os.close(write)
    assert separated.identity(write) is None
    null = os.open(os.devnull, os.O_WRONLY)
    assert separated.identity(null) != before
    os.close(null)
    os.close(read)


def test_a_process_that_somebody_else_has_waited_for_has_ended() -> None:
    heard = fork()
    heard.pid = os.fork()
    if not heard.pid:
        os._exit(3)
    os.waitpid(heard.pid, 0)
    assert heard.reap()
    assert separate.returncode(heard.status) is None


@pytest.mark.parametrize('words', [(groups.SHELL, '-c', groups.GUARD), (sys.executable, '-c', groups.OTHER_GUARD)])
def test_both_guards_end_the_groups_that_are_left(words: tuple[str, ...]) -> None:
    """Those that were entered and have not left; a stubborn one too."""
    stubborn = "trap '' TERM; echo; while :; do sleep 1; done"
    programs = [
        subprocess.Popen(['sh', '-c', text], stdout=subprocess.PIPE, start_new_session=True)
        for text in ('echo; exec sleep 900', stubborn, 'echo; exec sleep 901')]
    for program in programs:
        assert program.stdout is not None
        program.stdout.readline()
    guard = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert guard.stdin is not None
    for program in programs:
        guard.stdin.write(groups.line_of('+', program.pid))
    guard.stdin.write(groups.line_of('-', programs[2].pid))
    guard.stdin.close()
    assert programs[0].wait(60) == -signal.SIGTERM
    assert programs[1].wait(60) == -signal.SIGKILL
    assert guard.wait(60) == 0
    assert programs[2].poll() is None
    programs[2].kill()
    programs[2].wait(60)
    for program in programs:
        assert program.stdout is not None
        program.stdout.close()


class Stuck(io.RawIOBase):
    """A file that stays in the midst of its write."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.end = threading.Event()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.begun.set()
        self.end.wait()
        return len(data)


def test_a_stream_stays_locked_though_a_new_thread_has_the_number_of_its_holder() -> None:
    """A process that was forked gives its first thread the stack, so the number, of one that it lacks."""
    raw = Stuck()
    stream = io.TextIOWrapper(io.BufferedWriter(raw))
    stream.write('x')
    holder = threading.Thread(target=stream.flush)
    holder.start()
    raw.begun.wait()
    try:
        pid = ending.quiet_fork()
        if not pid:
            os._exit(separated.flush_in_time(stream))
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        raw.end.set()
        holder.join()
        stream.close()


class Odd:
    def fileno(self) -> int:
        raise NotImplementedError


def test_a_stream_of_the_application_raises_what_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Odd()
    monkeypatch.setattr(sys, 'stdout', stream)
    separated.Inside(list, 2, [], False).take_streams()
    assert sys.stdout is stream


@pytest.mark.skipif(not hasattr(os, 'pidfd_open'), reason='the system tells of the end of no process')
def test_the_end_of_a_process_is_told_once() -> None:
    process = subprocess.Popen(['cat'], stdin=subprocess.PIPE)
    watched = fork()
    watched.pid = process.pid
    watched.watch()
    silent, writer = os.pipe()
    watched.listen(silent, [])
    assert process.stdin is not None
    assert not watched.step(watched.look, 0)
    process.stdin.close()
    assert watched.step(watched.look, 60)
    assert watched.reap()
    process.returncode = 0      # nobody else is to wait for that
    # Others may still write: whoever waits for them is not woken again.
    assert (watched.exit, watched.ours, watched.step(watched.look, 0)) == (-1, {}, False)
    os.close(silent)
    os.close(writer)


def test_where_nobody_tells_of_the_end_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, 'pidfd_open', raising=False)
    watched = fork()
    watched.watch()
    assert (watched.exit, watched.ours) == (-1, {})
