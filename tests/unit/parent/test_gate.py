"""What is held back, and the handshake that types answers meanwhile: any cut of the output, and hostile programs."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.connectors import command, sudo
from econtext.parent.gate import PREFACE, SHELL, WORD, Gate, behind
from econtext.parent.handshake import ASK, Handshake

MARK = b'\0econtext\0\n'
# What programs may say in any order: questions, turned-down answers, noise, and what is ours.
PIECES = [
    b'Password: ', b'[sudo] password for me: ', b'password:', b'Sorry, try again.\n', b'\n', b'\r\n', b'noise ', b'> ',
    b'econtext password: ', b'Verification code: ', WORD[:5], WORD[5:], WORD, MARK, b'\0\xff', b'? ',
]
said = st.lists(st.tuples(st.sampled_from(['out', 'err', 'tty']), st.sampled_from(PIECES)), max_size=12)


def cut(draw: Any, data: bytes) -> list[bytes]:
    """Return `data` in pieces."""
    places = sorted(draw(st.sets(st.integers(0, len(data)))))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a < b]


def handshake(answers: dict[str, Any], held: bool = True) -> Handshake:
    return Handshake(MARK, sudo.PROMPTS, sudo.FAILURES, answers, held=held)


words = st.lists(st.sampled_from([b'e', b'econtext-', b'begins', b'x', b'econtext-econtext-begin', b's', b'\n']))
given_answers = st.sampled_from([
    {'password': 'pw'}, {'password': ASK}, {'password': 'pw', 'question': ASK}, {'question': 'q'},
])  # fmt: skip


@given(words, st.data())
def test_a_gate_opens_by_its_word_however_the_output_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    text = b''.join(parts)
    gate, before, after = Gate(True), b'', b''
    for piece in cut(data.draw, text):
        first, second = gate.feed(piece)
        before, after = before + first, after + second
    at = text.find(WORD)
    assert gate.held == (at < 0)
    if at < 0:
        assert before + gate.tail == text
    else:
        assert (before, after) == (text[:at], text[at + len(WORD):])


def test_a_gate_that_is_not_held_lets_all_pass() -> None:
    assert Gate(False).feed(WORD) == (b'', WORD)


@given(said, given_answers, st.data())
def test_nothing_is_entered_behind_the_gate(
    pieces: list[tuple[str, bytes]], answers: dict[str, Any], data: st.DataObject,
) -> None:
    """Whatever a program says, in whichever order, and whenever the controller answers."""
    shaking = handshake(answers)
    events: list[tuple[Any, ...]] = []
    waiting: list[str] = []

    def take(found: list[tuple[Any, ...]]) -> None:
        events.extend(found)
        waiting.extend(event[1] for event in found if event[0] == 'ask')

    for source, text in pieces:
        for piece in cut(data.draw, text):
            take(shaking.feed(source, piece))
            what = data.draw(st.sampled_from(['go on', 'rest', 'rest long', 'answer', 'give up']))
            if what.startswith('rest') and shaking.pending(what == 'rest long'):
                take(shaking.rested(what == 'rest long'))
            elif waiting and what in ('answer', 'give up'):
                take(shaking.answer(waiting.pop(0), 'typed' if what == 'answer' else None))
    kinds = [event[0] for event in events]
    assert kinds.count('open') <= 1
    assert kinds.count('ready') + kinds.count('failed') <= 1
    if 'open' in kinds:
        assert 'enter' not in kinds[kinds.index('open'):]
        assert events[kinds.index('open')][1] == PREFACE
        assert WORD in b''.join(text for source, text in pieces if source == 'out')
    else:
        assert 'ready' not in kinds
    assert len(waiting) <= 1
    for kind, *details in events:
        if kind in ('enter', 'type'):
            assert details[0] in (b'pw\n', b'typed\n', b'q\n')
        elif kind == 'failed':
            assert 'typed' not in details[1]
            assert 'pw\n' not in details[1]


@given(said, st.data())
def test_what_is_said_does_not_depend_on_the_cut(pieces: list[tuple[str, bytes]], data: st.DataObject) -> None:
    whole, cut_up = handshake({'password': 'pw', 'question': 'q'}), handshake({'password': 'pw', 'question': 'q'})
    expected = [event for source, text in pieces for event in whole.feed(source, text)]
    found = [event for source, text in pieces for piece in cut(data.draw, text) for event in cut_up.feed(source, piece)]
    if expected[-1:] and expected[-1][0] == 'ready':
        # What is behind the mark belongs to the link.
        assert found == [*expected[:-1], found[-1]]
        assert expected[-1][1].startswith(found[-1][1])
    else:
        assert found == expected


def test_a_question_on_standard_error_is_answered_on_standard_input() -> None:
    shaking = handshake({'password': 'pw'})
    assert shaking.feed('err', b'\neconte') == []
    assert shaking.feed('err', b'xt password: ') == [('enter', b'pw\n')]
    assert shaking.feed('err', b'\nSorry, try again.\n')[0][:2] == ('failed', 'wrong-password')


def test_a_question_is_never_answered_twice() -> None:
    shaking = handshake({'password': 'pw'})
    assert shaking.feed('err', b'econtext password: ') == [('enter', b'pw\n')]
    assert shaking.feed('err', b'\necontext password: ')[0][:2] == ('failed', 'wrong-password')


def test_the_next_question_may_stand_behind_the_last_one() -> None:
    """What is typed on standard input is not shown, its line break neither."""
    shaking = Handshake(MARK, command.PROMPTS, command.FAILURES, {'password': ASK}, held=True)
    assert shaking.feed('err', b'[sudo] password for me: ') == [('ask', 'password', '[sudo] password for me: ')]
    assert shaking.answer('password', 'first') == [('enter', b'first\n')]
    assert shaking.feed('err', b'Password: ') == [('ask', 'password', 'Password: ')]
    assert shaking.detail() == '[sudo] password for me: \nPassword: '


def test_without_a_gate_standard_error_asks_nothing() -> None:
    shaking = handshake({'password': 'pw'}, held=False)
    assert shaking.feed('err', b'econtext password: ') == []
    assert not shaking.pending(True)


def test_the_terminal_asks_too_one_question_at_a_time() -> None:
    shaking = Handshake(MARK, command.PROMPTS, command.FAILURES, {'password': ASK}, held=True)
    assert shaking.feed('tty', b"me@host's password: ") == [('ask', 'password', "me@host's password: ")]
    assert shaking.feed('err', b'[sudo] password for me: ') == []
    assert not shaking.pending(True)
    assert shaking.answer('password', 'first') == [('type', b'first\n')]
    assert shaking.pending()
    assert shaking.rested() == [('ask', 'password', '[sudo] password for me: ')]
    assert shaking.answer('password', 'second') == [('enter', b'second\n')]


@pytest.mark.parametrize('answer', ['late', None])
def test_an_answer_that_comes_behind_the_gate_is_thrown_away(answer: str | None) -> None:
    shaking = handshake({'password': ASK})
    assert shaking.feed('err', b'econtext password: ')[0][0] == 'ask'
    assert shaking.feed('out', WORD + b'\n') == [('open', PREFACE)]
    # Not taken for the answer to this, either.
    assert shaking.feed('tty', b'econtext password: ') == []
    assert shaking.answer('password', answer) == []
    assert shaking.rested()[0][0] == 'ask'
    assert shaking.feed('out', MARK + b'rest') == [('ready', b'rest')]


def test_the_mark_alone_opens_nothing() -> None:
    shaking = handshake({})
    assert shaking.feed('out', MARK + b'more') == []
    assert shaking.ended(1)[0] == 'ended'


@pytest.mark.parametrize('prompt', [b'Geheimwort', b'Say the word'])
def test_a_prompt_without_an_end_needs_an_answer_and_a_long_rest(prompt: bytes) -> None:
    for source, event in ('tty', 'type'), ('err', 'enter'):
        shaking = handshake({'password': 'pw', 'question': 'q'})
        assert shaking.feed(source, prompt) == []
        assert not shaking.pending()
        assert shaking.rested() == []
        assert shaking.pending(True)
        assert shaking.rested(True) == [(event, b'q\n')]
        assert not shaking.pending(True)
        # The password is for what asks for it.
        assert handshake({'password': 'pw'}).feed(source, prompt) == []
        shaking = handshake({'password': 'pw'})
        shaking.feed(source, prompt)
        assert shaking.rested(True) == []


def test_a_known_prompt_without_an_end_gets_the_password() -> None:
    shaking = handshake({'password': 'pw'})
    shaking.feed('tty', b'[sudo] password for me')
    assert shaking.rested(True) == [('type', b'pw\n')]


def test_text_that_nobody_answers_is_no_question() -> None:
    shaking = handshake({'question': ASK})
    shaking.feed('tty', b'Place your finger on the reader')
    assert shaking.rested(True) == [('ask', 'question', 'Place your finger on the reader')]
    assert shaking.answer('question', None) == []
    assert not shaking.pending(True)
    shaking.feed('tty', b' or say the password: ')
    assert shaking.pending()


# The shell of the gate.


def answered(entered: bytes, *words: str) -> bytes:
    """Return what a program behind the gate says that is given `entered`."""
    argv = behind(list(words))
    return subprocess.run(argv, input=entered, stdout=subprocess.PIPE, timeout=30).stdout


@pytest.mark.parametrize('unread', [
    b'', b'secret\n', b'back\\slash\\\n', b'\xff\0x\n\n', b'a b  c\nd\n', b'$(exit 7)`id`\n',
])  # fmt: skip
def test_what_nobody_read_does_not_reach_the_program(unread: bytes) -> None:
    said = answered(unread + PREFACE + b'\0\n\\frames', 'cat')
    assert said == WORD + b'\n\0\n\\frames'


def test_words_arrive_whole_and_the_end_of_input_ends_all() -> None:
    assert answered(PREFACE, 'printf', '%s|', 'a b', '$x', "'") == WORD + b"\na b|$x|'|"
    assert answered(b'secret\n', 'cat') == WORD + b'\n'


def test_a_line_that_is_shown_opens_nothing() -> None:
    shown = [SHELL, shlex.join(behind(['python'])), repr(behind(['python']))]
    shown += [subprocess.run(['sh', '-vxc', 'exec >&2;' + SHELL], capture_output=True, input=b'', timeout=30,
                             env={**os.environ, 'PS4': '+ '}).stderr.decode().split('\n')[0]]  # fmt: skip
    for line in shown:
        gate = Gate(True)
        gate.feed(line.encode())
        assert gate.held, line
