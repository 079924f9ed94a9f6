"""Econtext at Python's prompt: what is shown, what is completed, and what a slip is answered with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import econtext
import lab

ROOT = Path(__file__).parents[2]


@pytest.fixture
def broker() -> Iterator[econtext.Broker]:
    with econtext.Broker() as broker:
        yield broker


def test_what_is_shown(broker: econtext.Broker) -> None:
    assert repr(broker) == '<econtext.Broker 0 contexts>'
    context = broker.local(name='box').wait_ready()
    assert repr(broker) == '<econtext.Broker 1 context>'
    assert repr(context) == '<econtext.Context box ready>'
    assert repr(context.options(timeout=3)) == '<econtext.Context box ready>.options(timeout=3, grace=1.0)'
    numbers = context.stream(range, 1)
    assert repr(numbers) == '<econtext.Stream from box open>'
    assert list(numbers) == [0]
    assert repr(numbers) == '<econtext.Stream from box over>'
    broker.close()
    assert repr(broker) == '<econtext.Broker closed>'
    assert repr(context) == '<econtext.Context box lost>'


def test_what_is_completed(broker: econtext.Broker) -> None:
    """What the reference names, and nothing of how it works."""
    reference = (ROOT / 'docs' / 'reference.md').read_text()
    context = broker.local()
    for value in broker, context:
        for name in dir(value):
            if name.startswith('_'):
                continue
            assert hasattr(value, name)
            assert f'`{name}`' in reference or f'.{name}\n' in reference or f'### {name}\n' in reference, name
    assert {'call', 'map', 'name', 'ssh', 'sudo', 'docker', 'connect', 'close'} <= set(dir(context))
    assert {'listen', 'ssh', 'local', 'connect', 'close', 'allow'} <= set(dir(broker))


def test_an_option_that_is_not_there_is_answered_with_those_that_are(broker: econtext.Broker) -> None:
    start: Any = broker.ssh
    with pytest.raises(TypeError, match=r'^usrname= is no option here: there are username=, port=,.* name=, '):
        start('web1', usrname='me')
    start = broker.local
    with pytest.raises(TypeError, match=r'^timeout= is no option here: there are .*connect_timeout='):
        start(timeout=3)


@pytest.mark.parametrize('value', ['3', None, [], -1, float('nan')])
def test_seconds_that_are_none(broker: econtext.Broker, value: Any) -> None:
    with pytest.raises(ValueError, match=r'^connect_timeout= must be seconds, not '):
        broker.local(connect_timeout=value)
    with pytest.raises(ValueError, match=r'^grace= must be a number of seconds, not '):
        broker.local().options(grace=value)
    if value is not None:
        with pytest.raises(ValueError, match=r'^timeout= must be a number of seconds, not '):
            broker.local().options(timeout=value)


def test_a_channel_whose_function_has_ended_says_where_the_reason_is(broker: econtext.Broker) -> None:
    context = broker.local()
    channel = context.channel()
    future = context.submit(os.listdir, channel)  # type: ignore[call-overload]
    assert isinstance(future.exception(), TypeError)
    lab.eventually(lambda: not channel.open(), what='the channel is closed')
    with pytest.raises(econtext.EcontextError, match='its future tells why'):
        channel.send(1)


def test_functions_that_were_typed_say_what_to_do() -> None:
    typed = (
        'import econtext\n'
        'def f(): pass\n'
        '\n'
        'b = econtext.Broker()\n'
        'b.local().call(f)\n'
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, '-i', '-q'], input=typed, capture_output=True, text=True, timeout=60,
        env={**os.environ, 'PYTHONPATH': str(ROOT / 'src')},
    )  # fmt: skip
    assert 'TypeError: f has no module to import it from, and its source is nowhere (it was read from standard ' \
        'input, which keeps no source): save it in a file, and run or import that' in done.stderr  # fmt: skip


def test_what_it_imports() -> None:
    """Of others nothing, and of Python's own nothing that takes long and is rarely needed."""
    program = 'import sys, econtext; econtext.Broker().close(); print(*sys.modules)'
    done = subprocess.run(
        [sys.executable, '-I', '-S', '-c', f'import sys; sys.path.insert(0, {str(ROOT / "src")!r}); {program}'],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    tops = {name.partition('.')[0] for name in done.stdout.split()}
    known = {*sys.stdlib_module_names, '__main__', 'econtext'}
    assert {top for top in tops if not top.startswith('_sysconfigdata')} <= known
    assert not tops & {'asyncio', 'hashlib', 'hmac', 'inspect', 'random', 'subprocess', 'tempfile'}
