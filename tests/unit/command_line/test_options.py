"""Where the options of a command end, and what an option takes."""

from __future__ import annotations

import click
import pytest

from econtext.command_line import application
from econtext.command_line.options import arranged

TAKING = {'-l', '-F', '--via', '--username'}


@pytest.mark.parametrize(('words', 'leading', 'expected'), [
    ('--sudo web1 -- id', 1, '--sudo=root web1 -- id'),
    ('web1 --sudo=app id -u', 1, 'web1 --sudo=app -- id -u'),
    ('web1 ls -l --sudo', 1, 'web1 -- ls -l --sudo'),
    ('-l me web1 ls', 1, '-l me web1 -- ls'),
    ('-lme web1 ls', 1, '-lme web1 -- ls'),
    ('-tl me web1 ls', 1, '-tl me web1 -- ls'),
    ('--via=a web1 ls', 1, '--via=a web1 -- ls'),
    ('--via --sudo web1 ls', 1, '--via --sudo web1 -- ls'),
    ('a b --sudo c', None, 'a b --sudo=root c'),
    ('- a', None, '- a'),
    ('a -- --sudo', None, 'a -- --sudo'),
    ('-l', 1, '-l'),
])  # fmt: skip
def test_words(words: str, leading: int | None, expected: str) -> None:
    assert arranged(words.split(), TAKING, leading) == expected.split()


@pytest.mark.parametrize(('words', 'missing'), [
    (['cp', 'lab:x'], 'TARGET'), (['cp', '-r', 'x'], 'TARGET'), (['cp'], 'SOURCE...'), (['sync'], 'SOURCE'),
    (['sync', 'x'], 'TARGET'), (['exec', '--', 'uname', '-a'], 'HOSTS'), (['exec', '--', 'uname'], 'HOSTS'),
    (['exec', '-n', '--', 'uname'], 'HOSTS'), (['exec'], 'HOSTS'), (['exec', 'lab'], '-- COMMAND...'),
    (['exec', 'lab', '--'], '-- COMMAND...'), (['ls'], 'HOST[:PATH]...'), (['shell'], 'HOST'), (['run'], 'HOSTS'),
])  # fmt: skip
def test_the_argument_that_lacks_is_named(words: list[str], missing: str) -> None:
    with pytest.raises(click.MissingParameter) as caught:
        application.read(words)
    assert f"'{missing}'" in caught.value.format_message()


@pytest.mark.parametrize('words', [['cp', 'x', '--help'], ['exec', '--help', '--', 'x']])
def test_help_is_shown_whatever_lacks(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert application.run(words) == 0
    assert 'Usage: ' in capsys.readouterr().out
