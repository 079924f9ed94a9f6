"""Point 8, the stdio forwarder: what a context and its programs print arrives as log records."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from errands import facts, output

import econtext
from lab import eventually, leaks, pythons
from lab.accounts import Accounts
from lab.hearing import hearing
from lab.sshd import Sshd


class Lines(logging.Handler):
    """What arrived, in order: (logger, message)."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append((record.name, record.getMessage()))

    def of(self, stream: str, name: str = 'child') -> list[str]:
        """The lines of one stream of one context."""
        start = stream + ': '
        return [text[len(start):] for logger, text in self.all
                if logger == f'econtext.ctx.{name}' and text.startswith(start)]  # fmt: skip


@pytest.fixture
def lines() -> Iterator[Lines]:
    with hearing(Lines()) as handler:
        yield handler


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


# -- every Python ------------------------------------------------------------


def test_lines_arrive_before_the_result(broker: econtext.Broker, python: pythons.Interpreter, lines: Lines) -> None:
    child = broker.local(python=python, name='child')
    for i in range(20):
        assert child.call(output.both, str(i)) == str(i)
        assert lines.of('stdout')[-1] == f'out {i}'
        assert lines.of('stderr')[-1] == f'err {i}'
    assert child.call(os.system, 'echo program; echo trouble >&2; exit 3') == 3 << 8
    assert lines.of('stdout')[-1] == 'program'
    assert lines.of('stderr')[-1] == 'trouble'
    assert len(lines.all) == 42


def test_a_last_line_without_an_end(broker: econtext.Broker, python: pythons.Interpreter, lines: Lines) -> None:
    child = broker.local(python=python, name='child')
    child.call(output.say, 'one\ntw')
    assert lines.of('stdout') == ['one', 'tw']
    child.call(output.say, 'o\n')
    child.call(os.system, 'printf three')
    assert lines.of('stdout') == ['one', 'tw', 'o', 'three']
    with pytest.raises(ValueError, match='after four'):
        child.call(output.print_and_fail, 'four')
    assert lines.of('stdout')[-1] == 'four'


def test_standard_input_is_at_its_end(broker: econtext.Broker, python: pythons.Interpreter, lines: Lines) -> None:
    child = broker.local(python=python, name='child')
    with pytest.raises(EOFError):
        child.call(facts.ask)
    assert lines.of('stdout') == ['your name? ']
    assert child.call(facts.standard_input) == ''
    assert child.call(os.system, 'cat; head -c 1 | wc -c | tr -d " "') == 0
    assert lines.of('stdout')[-1] == '0'


def test_text_of_any_alphabet_where_the_locale_knows_none(
    broker: econtext.Broker, python: pythons.Interpreter, lines: Lines
) -> None:
    child = broker.local(python=python, name='child', env={'LC_ALL': 'C', 'PYTHONIOENCODING': None})
    child.call(output.count_raw, 3, 'é☃€')
    assert lines.of('stdout') == ['0 é☃€', '1 é☃€', '2 é☃€']
    if python.version >= (3, 0):
        child.call(output.both, 'é☃€')
        assert lines.of('stdout')[-1] == 'out é☃€'


def test_rubbish_harms_nothing(broker: econtext.Broker, python: pythons.Interpreter, lines: Lines) -> None:
    child = broker.local(python=python, name='child')
    child.call(output.rubbish)
    child.call(output.both, 'fine')
    assert lines.of('stdout')[-1] == 'out fine'
    assert lines.of('stderr')[-1] == 'err fine'
    text = ''.join(lines.of('stdout') + lines.of('stderr'))
    assert '\\xff' in text
    assert '\\x1b[2J' in text
    assert all(letter.isprintable() or letter == '\t' for letter in text)


# -- how much ----------------------------------------------------------------


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.11', '3.13'])
def test_a_hundred_thousand_lines(broker: econtext.Broker, lines: Lines, version: str) -> None:
    child = broker.local(python=pythons.interpreter(version), name='child')
    child.call(output.count, 100_000)
    assert lines.of('stdout') == [str(i) for i in range(100_000)]


def test_a_hundred_thousand_lines_of_a_program(child: econtext.Context, lines: Lines) -> None:
    child.call(os.system, 'seq 100000; seq 100000 >&2')
    wanted = [str(i) for i in range(1, 100_001)]
    assert lines.of('stdout') == wanted
    assert lines.of('stderr') == wanted


def test_lines_of_both_streams_at_once(child: econtext.Context, lines: Lines) -> None:
    child.call(output.count_on_both, 20_000)
    assert lines.of('stdout') == [f'o {i}' for i in range(20_000)]
    assert lines.of('stderr') == [f'e {i}' for i in range(20_000)]


def test_letters_of_many_bytes_are_not_torn(child: econtext.Context, lines: Lines) -> None:
    child.call(output.count_raw, 20_000, 'é☃€𝄞')
    assert lines.of('stdout') == [f'{i} é☃€𝄞' for i in range(20_000)]


def test_a_line_of_three_megabytes(child: econtext.Context, lines: Lines) -> None:
    child.call(output.write, b'0123456789' * 300_000 + b'\nnext\n')
    assert ''.join(lines.of('stdout')) == '0123456789' * 300_000 + 'next'
    assert lines.of('stdout')[-1] == 'next'


def test_a_letter_at_the_border_of_a_long_line(child: econtext.Context, lines: Lines) -> None:
    text = 'x' + '☃' * 700_000
    child.call(output.write, text.encode() + b'\n')
    assert ''.join(lines.of('stdout')) == text


# -- whose -------------------------------------------------------------------


def test_over_ssh_and_further(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, lines: Lines
) -> None:
    web = broker.ssh(sshd.address, username=accounts['nopw'].name, ssh_args=sshd.ssh_args(), name='web')
    root = web.sudo(name='root')
    web.call(os.system, 'id -un; seq 1000')
    assert lines.of('stdout', 'web') == [accounts['nopw'].name, *(str(i) for i in range(1, 1001))]
    root.call(os.system, 'id -un; printf part >&2')
    assert lines.of('stdout', 'root') == ['root']
    assert lines.of('stderr', 'root') == ['part']
    root.call(output.count, 30_000)
    assert lines.of('stdout', 'root')[1:] == [str(i) for i in range(30_000)]


@pytest.mark.every_python
def test_through_every_python(broker: econtext.Broker, python: pythons.Interpreter, lines: Lines) -> None:
    hop = broker.local(python=python, name='hop')
    child = hop.local(python=pythons.interpreter('3.11'), name='child')
    child.call(output.count_on_both, 3000)
    assert lines.of('stdout') == [f'o {i}' for i in range(3000)]
    assert lines.of('stderr') == [f'e {i}' for i in range(3000)]
    assert lines.of('stdout', 'hop') == lines.of('stderr', 'hop') == []


# -- what programs do --------------------------------------------------------


def test_threads_and_forks(child: econtext.Context, lines: Lines) -> None:
    child.call(output.from_thread, 'thread')
    child.call(output.from_fork, 'fork')
    assert lines.of('stdout') == ['out thread', 'fork']
    assert child.call(output.caught, 'into a pipe') == 'into a pipe'
    assert lines.of('stdout') == ['out thread', 'fork']


def test_a_program_that_prints_after_the_call(child: econtext.Context, lines: Lines, tmp_path: Path) -> None:
    child.call(output.later, str(tmp_path / 'go'), 'late')
    assert lines.of('stdout') == []
    (tmp_path / 'go').touch()
    eventually(lambda: lines.of('stdout') == ['late'], what='the line of the program arrives')


def test_what_is_printed_shows_while_the_call_runs(
    child: econtext.Context, lines: Lines, tmp_path: Path
) -> None:
    go = tmp_path / 'go'
    future = child.submit(os.system, f'echo begun; while [ ! -e {go} ]; do sleep 0.02; done; echo done')
    eventually(lambda: lines.of('stdout') == ['begun'], what='the first line arrives')
    assert not future.done()
    go.touch()
    assert future.result(60) == 0
    assert lines.of('stdout') == ['begun', 'done']


def test_empty_lines_and_carriage_returns(child: econtext.Context, lines: Lines) -> None:
    child.call(output.write, b'\n\na\r\n\nb\n')
    assert lines.of('stdout') == ['', '', 'a', '', 'b']


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.11', '3.13'])
@pytest.mark.parametrize('harm', [output.close_outputs, output.break_outputs, output.close_descriptors])
def test_a_context_outlives_its_outputs(
    broker: econtext.Broker, lines: Lines, version: str, harm: object
) -> None:
    child = broker.local(python=pythons.interpreter(version), name='child')
    child.call(harm)  # type: ignore[arg-type]
    assert child.call(os.getpid) == child.pid


def test_the_level_counts(child: econtext.Context, lines: Lines) -> None:
    logging.getLogger('econtext.ctx.child').setLevel(logging.WARNING)
    try:
        child.call(output.both, 'unseen')
        assert lines.all == []
    finally:
        logging.getLogger('econtext.ctx.child').setLevel(logging.NOTSET)
    child.call(output.both, 'seen')
    assert len(lines.all) == 2


def test_nothing_of_ours_is_inherited(child: econtext.Context, lines: Lines) -> None:
    """A program that stays holds neither the link nor the pipes but 1 and 2."""
    child.call(os.system, 'ls -l /proc/self/fd | grep -c "^l"')
    assert lines.of('stdout') == ['4']  # 0, 1, 2 and the folder


def test_a_handler_may_call_the_context(child: econtext.Context) -> None:
    answers = []

    class Curious(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == 'stdout: ask':
                answers.append(child.call(os.getpid))

    handler = Curious()
    logger = logging.getLogger('econtext.ctx.child')
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        child.options(timeout=60).call(output.say, 'ask\n')
        eventually(lambda: answers == [child.pid], what='the call of the handler is answered')
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_a_handler_that_fails_harms_no_call(
    child: econtext.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody but the program's own hook for exceptions hears of it; and the next call is served as ever."""
    seen = []
    monkeypatch.setattr(sys, 'excepthook', lambda kind, error, trace: seen.append(str(error)))

    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError(record.getMessage())

    handler = Failing()
    logger = logging.getLogger('econtext.ctx.child')
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        assert child.call(output.both, 'text') == 'text'
        assert child.submit(output.both, 'more').result(60) == 'more'
        concurrent.futures.wait([child.submit(output.say, 'last\n')], 60)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert sorted(seen) == sorted(
        ['stdout: out text', 'stderr: err text', 'stdout: out more', 'stderr: err more', 'stdout: last']
    )
    assert concurrent.futures.wait([child.submit(os.getpid)], 60).not_done == set()


def test_the_program_s_own_output_stays_clean(tmp_path: Path) -> None:
    """What contexts print is logged, or else shown on standard error; the standard output is the program's."""
    program = tmp_path / 'program.py'
    program.write_text(
        'import os, econtext\n'
        'with econtext.Broker() as broker:\n'
        '    print(broker.local().call(os.system, "echo theirs"))\n'
    )
    environ = {**os.environ, 'PYTHONPATH': str(Path(econtext.__file__).parent.parent)}
    done = subprocess.run([pythons.interpreter('3.11'), program], capture_output=True, text=True, env=environ)
    assert (done.stdout, done.stderr, done.returncode) == ('0\n', '[local.1] theirs\n', 0)
    assert not [entry for entry in leaks.descendants(os.getpid()) if 'theirs' in leaks.command_line(entry.pid)]
