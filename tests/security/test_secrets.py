"""Secrets and passwords: they arrive where they are wanted, and show nowhere on the way."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import sys
import traceback
import uuid
from pathlib import Path

import guarded.work
import pytest

import econtext
from lab.pythons import Interpreter

TEXT = 'correct horse \u2603'
# No other process shows it, such as one that looks for it in these tests.
PASSWORD = f'battery-staple-{uuid.uuid4().hex}'

# Stands in the place of sudo: asks on its terminal, tells what it was given, and what every process shows meanwhile.
SPY = """\
#!{python} -IS
import os, sys
tty = os.open('/dev/tty', os.O_RDWR)
os.write(tty, b'[sudo] password for you: ')
typed = b''
while not typed.endswith(b'\\n'):
    typed += os.read(tty, 100)
seen = [typed]
for name in os.listdir('/proc'):
    for file in ('cmdline', 'environ', 'comm'):
        try:
            seen.append(open('/proc/%s/%s' % (name, file), 'rb').read())
        except OSError:
            pass
with open({notes!r}, 'wb') as file:
    file.write(b'\\n'.join(seen))
words = sys.argv[1:]
os.execv('/bin/sh', ['/bin/sh', '-c', 'exec "$@"', 'sh'] + words[words.index('--') + 1:])
"""


def test_what_is_seen_of_a_secret() -> None:
    secret = econtext.Secret(TEXT)
    assert secret.reveal() == TEXT
    shown = [repr(secret), str(secret), f'{secret} {secret!r} {secret:>50}', '%s' % secret, str([secret]), str(vars)]
    shown += [str(getattr(secret, '__dict__', ''))]
    assert not any('horse' in text for text in shown)
    with pytest.raises(TypeError, match='cannot be pickled'):
        pickle.dumps(secret)
    assert copy.deepcopy([secret]) == [econtext.Secret(TEXT)]
    assert secret != econtext.Secret('other')
    assert len({secret, econtext.Secret(TEXT)}) == 1
    with pytest.raises(TypeError, match='bytes') as caught:
        econtext.Secret(TEXT.encode())  # type: ignore[arg-type]
    assert 'horse' not in str(caught.value)


@pytest.mark.parametrize('python', ['2.7', '3.6', '3.13'], indirect=True)
def test_a_secret_crosses_both_ways(broker: econtext.Broker, python: Interpreter) -> None:
    context = broker.local(python=python)
    secret = econtext.Secret(TEXT)
    seen, held = context.call(guarded.work.look_at, secret)
    assert held == TEXT
    assert not any('horse' in text for text in seen), seen
    assert context.call(guarded.work.give_back, secret) == {'it': [secret]}
    with pytest.raises(ValueError, match=r'econtext\.Secret') as caught:
        context.call(guarded.work.fail, secret)
    assert 'horse' not in ''.join(traceback.format_exception(caught.value))


@pytest.mark.parametrize('form', ['text', 'secret', 'function', 'function to secret'])
@pytest.mark.parametrize('where', ['below us', 'behind a hop'])
def test_a_password_shows_nowhere(
    broker: econtext.Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str, where: str
) -> None:
    caplog.set_level(logging.DEBUG)
    spy, notes = tmp_path / 'sudo', tmp_path / 'notes'
    spy.write_text(SPY.format(python=sys.executable, notes=str(notes)))
    spy.chmod(0o755)
    hidden = econtext.Secret(PASSWORD)
    password = {'text': PASSWORD, 'secret': hidden, 'function': lambda prompt: PASSWORD}.get(
        form, lambda prompt: hidden)
    origin = broker.local() if where == 'behind a hop' else broker
    root = origin.sudo(password=password, sudo_path=str(spy), python=sys.executable)
    root.call(os.getpid)
    seen = notes.read_bytes()
    assert seen.startswith(PASSWORD.encode() + b'\n'), 'it was typed'
    assert PASSWORD.encode() not in seen[len(PASSWORD):], 'and is in no command line and no environment'
    assert PASSWORD not in caplog.text
    assert PASSWORD not in repr(root) + repr(vars(root))


def test_a_password_that_is_refused_shows_in_no_error(broker: econtext.Broker, tmp_path: Path) -> None:
    spy = tmp_path / 'sudo'
    spy.write_text('#!/bin/sh\nprintf "[sudo] password for you: " >/dev/tty; read x </dev/tty\n'
                   'echo "Sorry, try again." >/dev/tty; exit 1\n')
    spy.chmod(0o755)
    with pytest.raises(econtext.ConnectError) as caught:
        broker.sudo(password=PASSWORD, sudo_path=str(spy)).wait_ready(60)
    assert caught.value.kind == 'wrong-password'
    assert PASSWORD not in ''.join(traceback.format_exception(caught.value)) + repr(caught.value)
    with pytest.raises(TypeError) as wrong:
        broker.sudo(password=PASSWORD.encode())  # type: ignore[arg-type]
    assert PASSWORD not in str(wrong.value)
