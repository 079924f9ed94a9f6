"""Help on terminals of any width: no line is wider than its words need, and no word is cut or lost."""

from __future__ import annotations

import pytest

from econtext.command_line import application
from econtext.command_line.help import Formatter, fold, folded_sentences

INDENT = 12     # columns before the longest word of all


def texts(columns: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the help of each command on a terminal of so many columns."""
    monkeypatch.setenv('COLUMNS', str(columns))
    top = application.application
    with top.make_context('econtext', ['run'], resilient_parsing=True) as ctx:
        found = {'': ctx.get_help()}
        for name in application.COMMANDS:
            command = top.get_command(ctx, name)
            assert command is not None
            found[name] = command.get_help(command.context_class(command, ctx, name))
    return found


@pytest.mark.parametrize('columns', [40, 60, 80])
def test_each_word_of_the_help_is_there_whole(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, narrow = texts(400, monkeypatch), texts(columns, monkeypatch)
    for name, text in narrow.items():
        assert text.split() == whole[name].split(), name
        for line in text.splitlines():
            words = line.split()
            assert len(line) <= columns or (len(words) == 1 and len(words[0]) > columns - INDENT), (name, line)


@pytest.mark.parametrize(('line', 'expected'), [
    ('  a short line', '  a short line'),
    ('  econtext run --json x y', '  econtext run\n      --json x y'),
    ('  0  all is well with all', '  0  all is well\n     with all'),
    ('  a name, another   a word', '  a name, another\n      a word'),
])  # fmt: skip
def test_a_line_is_folded_before_a_word(line: str, expected: str) -> None:
    assert fold(line, 17) == expected


@pytest.mark.parametrize('width', range(27, 70))     # from where on the longest word has room
def test_no_option_is_broken_at_its_hyphens(width: int) -> None:
    formatter = Formatter(width=width)
    formatter.write_dl([('--one', 'as with --no-server, or where --pass-environment was told, and with --known-hosts')])
    formatter.write_text('as with --no-server, or where --pass-environment was told, and with --known-hosts')
    words = formatter.getvalue().split()
    assert [words.count(each) for each in ('--no-server,', '--pass-environment', '--known-hosts')] == [2, 2, 2]


def test_a_sentence_is_folded_and_what_is_to_be_copied_is_not() -> None:
    text = 'econtext: web1: the host-name cannot be resolved at all\nThe command:\n    ssh web1 a very long command\n'
    assert folded_sentences(text, 0) == text
    assert folded_sentences(text, 24) == (
        'econtext: web1: the\nhost-name cannot be\nresolved at all\nThe command:\n    ssh web1 a very long command\n')
