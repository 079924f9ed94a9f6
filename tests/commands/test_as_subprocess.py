"""run() gives what subprocess.run() gives for the same command."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

import econtext

# Writes what it was told, shows what it got, and ends as it was told.
PROGRAM = '''
import os, signal, sys
out, err, number, read = sys.argv[1:5]
if read == "yes":
    os.write(1, sys.stdin.buffer.read())
for fd, text in (1, out), (2, err):
    data = os.fsencode(text)
    while data:
        data = data[os.write(fd, data):]
for word in sys.argv[5:] + sorted(os.environ.get(name, "none") for name in ("HOME", "ECT_A", "ECT_B")):
    os.write(1, b"[" + os.fsencode(word) + b"]")
os.write(1, os.getcwdb())
if int(number) < 0:
    signal.signal(-int(number), signal.SIG_DFL) if int(number) != -9 else None
    os.kill(os.getpid(), -int(number))
os._exit(int(number))
'''
# What an argument can be: any text without NUL, also bytes that are no UTF-8.
words = st.one_of(
    st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']), max_size=12),
    st.binary(max_size=12).map(lambda data: data.replace(b'\0', b'').decode('utf-8', 'surrogateescape')),
    st.sampled_from(['', '$HOME', '"', "'", '\\', 'a b', '*', '-x', '\r\n', 'a\rb\n']),
)
inputs = st.one_of(st.none(), words, st.binary(max_size=300).map(lambda data: data.decode('utf-8', 'surrogateescape')))
statuses = st.sampled_from([0, 0, 1, 3, 127, 255, -15, -9, -6, -1])
environments = st.one_of(st.none(), st.dictionaries(st.sampled_from(['ECT_A', 'ECT_B', 'HOME']), words, max_size=3))


@pytest.fixture
def child(broker: econtext.Broker) -> econtext.Context:
    """One context for all examples of a test."""
    return broker.local()


def outcome(run: Any, argv: Any, options: dict[str, Any]) -> tuple[Any, ...]:
    """Return all that `run` gives or raises."""
    try:
        done = run(argv, **options)
    except subprocess.CalledProcessError as error:
        return type(error), error.returncode, error.cmd, error.output, error.stderr
    return type(done), done.returncode, done.args, done.stdout, done.stderr


def compare(child: econtext.Context, argv: Any, input: str | None, text: bool, options: dict[str, Any]) -> None:
    """Hold what run() gives to what subprocess gives."""
    given: Any = input if text or input is None else input.encode('utf-8', 'surrogateescape')
    there = {'input': given, 'text': text, **options}
    here = {**options, 'capture_output': True, 'shell': isinstance(argv, str)}
    here |= {'stdin': subprocess.DEVNULL} if given is None else {'input': given}
    if text:
        here |= {'encoding': 'utf-8', 'errors': 'surrogateescape'}
    assert outcome(child.run, argv, there) == outcome(subprocess.run, argv, here)


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    words, words, statuses, st.lists(words, max_size=3), inputs, st.booleans(), st.booleans(), environments,
    st.sampled_from([None, '/', '/usr']))
def test_a_list_of_words(
    child: econtext.Context, out: str, err: str, status: int, more: list[str], input: str | None, text: bool,
    check: bool, env: dict[str, str] | None, cwd: str | None,
) -> None:
    read = 'no' if input is None else 'yes'
    argv = [sys.executable, '-S', '-E', '-c', PROGRAM, out, err, str(status), read, *more]
    compare(child, argv, input, text, {'check': check, 'env': env, 'cwd': cwd})


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    st.lists(st.sampled_from(
        ['cat', 'echo $0 "$@"', 'printf "a\\r\\nb\\rc"', 'echo err >&2', 'exit 3', 'kill -9 $$', 'kill $$', 'false',
         'pwd', 'echo "$ECT_A"', 'no-such-program', 'read line; echo "<$line>"', '-x', "'", '# é', ''],
    ), max_size=4).map('\n'.join), inputs, st.booleans(), st.booleans(), environments)
def test_a_text_for_the_shell(
    child: econtext.Context, script: str, input: str | None, text: bool, check: bool, env: dict[str, str] | None
) -> None:
    if script[:1] in ('-', '+'):
        # Where subprocess would have the shell take the text for an option.
        script = ' ' + script
    compare(child, script, input, text, {'check': check, 'env': env})


@pytest.mark.parametrize('size', [0, 1, 65_535, 65_536, 3_000_000])
def test_sizes(child: econtext.Context, size: int) -> None:
    compare(child, ['cat'], 'xé\r\n' * (size // 5), True, {})
    compare(child, f'head -c {size} /dev/zero; head -c {size} /dev/zero >&2', None, False, {})
