"""Text of others: nothing in it steers a terminal, whichever way it comes in."""

from __future__ import annotations

import logging
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext
from econtext.controller import text
from econtext.controller.doctor import examination
from lab.hearing import Texts, hearing

DANGEROUS = {'Cc', 'Cf', 'Cs', 'Zl', 'Zp'}
EVIL = '\u202e\u2066\u2069\u200f\u061c\u2028\u2029\x85\x9b\x1b\u200b\ufeff\U000e0041\u200d\xad\u2060'
CHARACTERS = st.text(st.one_of(
    st.characters(), st.characters(categories=['Cc', 'Cf', 'Cs', 'Zl', 'Zp'])))


def dangers(found: str, kept: str = '\t') -> set[str]:
    return {c for c in found if unicodedata.category(c) in DANGEROUS and c not in kept}


def test_every_character_there_is() -> None:
    everything = ''.join(map(chr, range(sys.maxunicode + 1)))
    assert not dangers(text.harmless(everything))
    assert not dangers(text.harmless_lines(everything), '\t\n')
    safe = ''.join(c for c in everything if unicodedata.category(c)[0] in 'LNPSZ' and not dangers(c))
    assert text.harmless(safe) == safe, 'nothing else is changed'


@given(CHARACTERS)
def test_property_no_dangerous_character_is_left(value: str) -> None:
    assert not dangers(text.harmless(value))
    assert not dangers(text.harmless_lines(value), '\t\n')
    assert not dangers(text.shown(value))
    assert text.harmless(text.harmless(value)) == text.harmless(value)
    text.harmless(value).encode()


def test_how_they_are_written() -> None:
    assert text.harmless('a\tb\n\x1b[2J\x9b\u202e\U000e0041\ud800') == 'a\tb\\x0a\\x1b[2J\\x9b\\u202e\\U000e0041\\ud800'
    assert text.harmless_lines('a\r\nb\u2028c') == 'a\\x0d\nb\\u2028c'


PROGRAM = """\
import sys
evil = {evil!r}
sys.stderr.buffer.write(('warning: ' + evil + ' of the server\\n').encode('utf-8', 'surrogatepass'))
sys.stderr.buffer.flush()
if {asks!r}:
    with open('/dev/tty', 'r+b', buffering=0) as tty:
        tty.write((evil + ' password: ').encode('utf-8', 'surrogatepass'))
        tty.readline()
sys.exit(3)
"""


@pytest.fixture
def program(tmp_path: Path) -> Any:
    def write(asks: bool) -> list[str]:
        path = tmp_path / f'program{asks}'
        path.write_text(PROGRAM.format(evil=EVIL, asks=asks), 'utf-8')
        return [sys.executable, str(path)]
    return write


@pytest.mark.parametrize('where', ['directly', 'by a context'])
def test_what_a_program_says_as_it_is_started(broker: econtext.Broker, program: Any, where: str) -> None:
    origin: Any = broker if where == 'directly' else broker.local()
    logging.getLogger('econtext').setLevel(logging.INFO)
    with hearing(Texts()) as texts:
        context = origin.command(program(False))
        with pytest.raises(econtext.ConnectError) as caught:
            context.wait_ready(timeout=60)
    assert 'of the server' in caught.value.lines
    for found in (caught.value.lines, str(caught.value), *texts.all):
        assert not dangers(found, '\t\n')


@pytest.mark.parametrize('where', ['directly', 'by a context'])
def test_what_a_password_function_is_asked(broker: econtext.Broker, program: Any, where: str) -> None:
    origin: Any = broker if where == 'directly' else broker.local()
    questions: list[str] = []

    def answer(question: str) -> str:
        questions.append(question)
        raise KeyError('\u202e')

    context = origin.command(program(True), password=answer)
    with pytest.raises(econtext.ConnectError) as caught:
        context.wait_ready(timeout=60)
    assert len(questions) == 1
    assert 'password:' in questions[0]
    assert not dangers(questions[0])
    assert 'KeyError' in str(caught.value)
    assert not dangers(str(caught.value), '\t\n')


def test_what_the_doctor_finds() -> None:
    seen: list[examination.Step] = []
    one = examination.Examination.__new__(examination.Examination)
    one.report = examination.Report('target')
    one.progress = seen.append
    one.add(examination.Step('shell', 'failed', EVIL, 1.0, EVIL, 'noise', EVIL + '\n' + EVIL))
    for step in (*seen, *one.report.steps):
        for found in step.detail, step.remedy, step.lines:
            assert found
            assert not dangers(found, '\t\n')
