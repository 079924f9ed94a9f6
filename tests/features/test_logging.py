"""Point 7, the logging forwarder: what code in a context logs is a record here."""

from __future__ import annotations

import contextvars
import logging
import os
import re
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from errands import facts, orders, output, records

import econtext
from lab import eventually, pythons
from lab.accounts import Accounts
from lab.hearing import hearing
from lab.sshd import Sshd

NAME = 'econtext.ctx.child'


class Records(logging.Handler):
    """The records that arrived, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record)

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.all]


@pytest.fixture
def seen() -> Iterator[Records]:
    with hearing(Records()) as handler:
        yield handler
    logging.getLogger(NAME).setLevel(logging.NOTSET)


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    return broker.local(name='child')


# -- every Python ------------------------------------------------------------


def test_a_record_arrives_whole(broker: econtext.Broker, python: pythons.Interpreter, seen: Records) -> None:
    child = broker.local(python=python, name='child')
    before = time.time()
    child.call(records.at_every_level, 'text')
    after = time.time()
    assert [(record.name, record.levelname, record.getMessage()) for record in seen.all] == [
        (NAME, level.upper(), f'errands.shop: text at {level}')
        for level in ('info', 'warning', 'error', 'critical')
    ]
    for record in seen.all:
        assert record.remote_name == 'errands.shop'  # type: ignore[attr-defined]
        assert before - 0.01 <= record.created <= after
        assert record.exc_info is None
        assert record.exc_text is None
        assert re.match(r'\d\d:\d\d', logging.Formatter('%(asctime)s', '%H:%M').format(record))


@pytest.mark.every_python
def test_the_text_of_an_exception(broker: econtext.Broker, python: pythons.Interpreter, seen: Records) -> None:
    child = broker.local(python=python, name='child')
    child.call(records.failing)
    (record,) = seen.all
    assert record.levelno == logging.ERROR
    assert record.getMessage() == 'errands.shop: it failed'
    text = logging.Formatter().format(record)
    assert 'records.py", line' in text
    assert "{}['no such key']" in text
    assert text.rstrip().endswith("KeyError: 'no such key'")


def test_setting_up_again_doubles_nothing(broker: econtext.Broker, python: pythons.Interpreter, seen: Records) -> None:
    child = broker.local(python=python, name='child')
    child.call(records.set_up_again)
    child.call(records.set_up_again)
    assert seen.texts == ['errands.shop: only once'] * 2


def test_what_is_too_long_is_cut_and_says_so(
    broker: econtext.Broker, python: pythons.Interpreter, seen: Records
) -> None:
    child = broker.local(python=python, name='child')
    child.call(records.long, 500_000)
    first, second, third = seen.all
    assert first.getMessage().endswith('\u2603\u2603... (368928 more characters are left out)')
    assert first.getMessage().count('\u2603') == 131_072
    assert second.getMessage().endswith('l... (4000 more characters are left out): of a long name')
    assert third.levelno == 30
    assert third.getMessage() == "None: ['not', 'a', 'text']"
    assert str(third.exc_text).endswith('x... (368928 more characters are left out)')


def test_odd_records(broker: econtext.Broker, python: pythons.Interpreter, seen: Records) -> None:
    child = broker.local(python=python, name='child')
    child.call(records.odd)
    assert seen.texts == ['errands.shop: ' + text for text in (
        'a thing', 'café ☃ €', '100%', '1 and 2', 'two\n    lines', '\\x1b[2Jcleared?', 'between',
    )]  # fmt: skip
    assert seen.all[-1].levelno == 35


def test_a_record_that_cannot_be_formatted(
    broker: econtext.Broker, python: pythons.Interpreter, seen: Records
) -> None:
    """As in any program: a complaint on stderr, and the code goes on."""
    child = broker.local(python=python, name='child')
    child.call(records.badly_formatted)
    assert seen.texts[-1] == 'errands.shop: afterwards' or 'errands.shop: afterwards' in seen.texts
    assert any(text.startswith('stderr: TypeError: ') for text in seen.texts)


def test_the_level_is_judged_where_the_record_is_made(
    broker: econtext.Broker, python: pythons.Interpreter, seen: Records
) -> None:
    child = broker.local(python=python, name='child')
    assert child.call(records.enabled, logging.INFO)
    assert not child.call(records.enabled, logging.DEBUG)
    logging.getLogger(NAME).setLevel(logging.ERROR)
    assert not child.call(records.enabled, logging.WARNING)
    assert child.call(records.enabled, logging.ERROR)
    child.call(records.at_every_level, 'text')
    assert [record.levelname for record in seen.all] == ['ERROR', 'CRITICAL']
    logging.getLogger(NAME).setLevel(logging.NOTSET)
    assert child.call(records.enabled, logging.INFO)
    assert not child.call(records.enabled, logging.DEBUG)


def test_logging_is_not_imported_for_us(broker: econtext.Broker, python: pythons.Interpreter, seen: Records) -> None:
    child = broker.local(python=python, name='child')
    assert child.call(facts.loaded, 'logging') == []
    child.call(os.system, 'true')
    assert child.call(facts.loaded, 'logging') == []
    child.call(records.failing)
    assert child.call(facts.loaded, 'logging') == ['logging']
    assert seen.texts == ['errands.shop: it failed']


# -- whose, and when ---------------------------------------------------------


def test_levels_above_count_too(child: econtext.Context, seen: Records) -> None:
    """The effective level of the context's logger, so that of any logger above it."""
    logging.getLogger('econtext.ctx').setLevel(logging.DEBUG)
    assert child.call(records.enabled, logging.DEBUG)
    logging.getLogger('econtext.ctx').setLevel(logging.ERROR)
    assert not child.call(records.enabled, logging.WARNING)


def test_a_quiet_logger_over_there_stays_quiet(child: econtext.Context, seen: Records) -> None:
    child.call(records.quiet)
    assert seen.texts == ['errands.shop: wanted']


def test_a_verbose_logger_over_there_is_heard_only_as_wanted_here(child: econtext.Context, seen: Records) -> None:
    child.call(records.record, 'some.other', logging.DEBUG, 'unseen')
    child.call(records.record, 'some.other', logging.INFO, 'seen')
    child.call(records.record, '', logging.WARNING, 'of the root')
    assert seen.texts == ['some.other: seen', 'root: of the root']


def test_records_arrive_before_the_result(child: econtext.Context, seen: Records) -> None:
    for i in range(200):
        child.call(records.record, 'a', logging.INFO, str(i))
        assert seen.texts[-1] == f'a: {i}'


def test_ten_thousand_records(child: econtext.Context, seen: Records) -> None:
    child.call(records.many, 10_000)
    assert seen.texts == [f'errands.shop: {i}' for i in range(10_000)]


def test_records_and_lines_keep_their_own_order(child: econtext.Context, seen: Records) -> None:
    child.call(records.mixed, 3000)
    assert [text for text in seen.texts if text.startswith('errands')] == [f'errands.shop: {i}' for i in range(3000)]
    assert [text for text in seen.texts if text.startswith('stdout')] == [f'stdout: {i}' for i in range(3000)]


def test_threads_log_too(child: econtext.Context, seen: Records) -> None:
    child.call(records.from_thread, 'in a thread')
    assert seen.texts == ['errands.shop: in a thread']


def test_over_ssh_and_further(
    broker: econtext.Broker, sshd: Sshd, accounts: Accounts, seen: Records
) -> None:
    web = broker.ssh(sshd.address, username=accounts['nopw'].name, ssh_args=sshd.ssh_args())
    root = web.sudo(name='root of web')
    web.call(records.record, 'a', logging.INFO, 'one')
    root.call(records.record, 'b', logging.INFO, 'two')
    root.call(records.failing)
    assert [(record.name, record.getMessage()) for record in seen.all] == [
        (f'econtext.ctx.{sshd.address}', 'a: one'),
        ('econtext.ctx.root of web', 'b: two'),
        ('econtext.ctx.root of web', 'errands.shop: it failed'),
    ]
    logging.getLogger('econtext.ctx.root of web').setLevel(logging.ERROR)
    try:
        assert not root.call(records.enabled, logging.INFO)
        assert web.call(records.enabled, logging.INFO)
    finally:
        logging.getLogger('econtext.ctx.root of web').setLevel(logging.NOTSET)


@pytest.mark.every_python
def test_several_threads_import_logging_at_once(
    broker: econtext.Broker, python: pythons.Interpreter, caplog: pytest.LogCaptureFixture
) -> None:
    """It is hooked when it is whole, also while other calls have begun to import it."""
    for number in range(6):
        child = broker.local(python=python, threads=4, name=f'child{number}')
        futures = [child.submit(facts.first_record, f'{number} {each}') for each in range(4)]
        for future in futures:
            future.result(60)
        child.close()
    texts = [record.getMessage() for record in caplog.records]
    assert not [text for text in texts if 'Traceback' in text or 'Error' in text]
    assert sorted(text for text in texts if 'first' in text) == sorted(
        f'errands: first: {number} {each}' for number in range(6) for each in range(4))


@pytest.mark.every_python
def test_through_every_python(broker: econtext.Broker, python: pythons.Interpreter, seen: Records) -> None:
    child = broker.local(python=python, name='hop').local(python=pythons.interpreter('2.7'), name='child')
    child.call(records.at_every_level, 'text')
    assert [record.levelname for record in seen.all] == ['INFO', 'WARNING', 'ERROR', 'CRITICAL']
    assert {record.name for record in seen.all} == {NAME}


def test_default_names(broker: econtext.Broker, seen: Records) -> None:
    """What is not named is told apart all the same."""
    one, two = broker.local(), broker.local()
    assert one.name != two.name
    one.call(output.both, 'x')
    assert {record.name for record in seen.all} == {f'econtext.ctx.{one.name}'}


def test_a_record_after_the_call(child: econtext.Context, seen: Records) -> None:
    future = child.submit(records.many, 1000)
    eventually(lambda: len(seen.all) == 1000, what='records arrive though nobody waits for the call')
    future.result(60)


# -- what econtext itself says -----------------------------------------------


def test_calls_and_modules_show_at_debug(broker: econtext.Broker, seen: Records) -> None:
    logging.getLogger('econtext.ctx').setLevel(logging.DEBUG)
    child = broker.local(name='child')
    child.call(records.enabled, logging.DEBUG)
    child.call(os.getpid)
    assert any('errands.records' in text and 'call' in text for text in seen.texts)
    assert any('os.getpid' in text and 'call' in text for text in seen.texts)
    assert any('errands.records' in text and 'module' in text for text in seen.texts)
    assert {record.levelname for record in seen.all} == {'DEBUG'}


def test_nothing_shows_at_info(child: econtext.Context, seen: Records) -> None:
    child.call(records.enabled, logging.INFO)
    child.local().call(os.getpid)
    assert seen.texts == []


def test_a_failure_that_nobody_looked_at_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with econtext.Broker() as broker:
        broker.local(python='/nonexistent/python', name='one')
        looked = broker.local(python='/nonexistent/python', name='two')
        with pytest.raises(econtext.ConnectError):
            looked.call(os.getpid)
        broker.local().call(os.getpid)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1
    assert 'one' in told[0]
    assert '/nonexistent/python' in told[0]


def test_a_record_comes_behind_what_was_printed_before_it(
    broker: econtext.Broker, python: pythons.Interpreter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker.local(python=python, name='turns').call(orders.in_turns, 200)
    found = [record.getMessage() for record in caplog.records if record.name == 'econtext.ctx.turns']
    assert found == [
        text for number in range(200) for text in (f'stdout: printed {number}', f'turns: logged {number}')
    ]


def test_a_handler_of_debug_records_may_call_contexts(broker: econtext.Broker) -> None:
    """What econtext logs of itself, too, is handled by a thread that does not lead and holds no lock."""
    other = broker.local(name='other')
    other.call(os.getpid)
    texts: list[str] = []
    inside = threading.local()

    class Caller(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(inside, 'it', False):
                return
            inside.it = True
            try:
                texts.append(record.getMessage())
                # A module that was not sent yet; for the second it takes the lock of who sends them.
                (child if '> modules' in texts[-1] else other).call(facts.loaded)
            finally:
                inside.it = False

    logger, handler = logging.getLogger('econtext.ctx'), Caller()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        child = broker.local(name='child').wait_ready(timeout=60)
        child.options(timeout=60).call(output.say, 'text')
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    for part in '= ready', '> modules', '> call':
        assert any(part in text for text in texts), part


def test_a_record_that_no_encoding_has_is_not_lost(broker: econtext.Broker, tmp_path: Path) -> None:
    """Such as the name of a file whose bytes are no text there."""
    logger, handler = logging.getLogger('econtext.ctx'), logging.FileHandler(tmp_path / 'log', encoding='utf-8')
    logger.addHandler(handler)
    try:
        broker.local(name='child').call(records.surrogates, 'cannot open \udce9t\ud800')
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert (tmp_path / 'log').read_text() == 'errands.shop: cannot open \\udce9t\\ud800\n'


def test_in_a_notebook_handlers_know_the_cell_that_called(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel of Jupyter tells by a variable of the thread, or task, which cell what is written there belongs to."""
    monkeypatch.setitem(sys.modules, 'ipykernel', types.ModuleType('ipykernel'))
    cell: contextvars.ContextVar[str] = contextvars.ContextVar('cell', default='none')
    seen: list[tuple[str, str]] = []

    class Cells(Records):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((cell.get(), record.getMessage()))

    one, two = broker.local(name='one'), broker.local(name='two')
    with hearing(Cells()):
        for name, context in ('first', one), ('second', two), ('third', one):
            done = threading.Event()
            # Nobody waits for it in econtext, so a thread of econtext handles the line.
            contextvars.copy_context().run(lambda: (
                cell.set(name), context.submit(output.say, name).add_done_callback(lambda _: done.set())))  # noqa: B023
            assert done.wait(60)
    assert seen == [(name, f'stdout: {name}') for name in ('first', 'second', 'third')]
