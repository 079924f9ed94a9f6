"""
How the help of a command, and its errors, are laid out on terminals of any width.

Invariants:

* No word that has room in a line is cut, and no option at its hyphens: a line that is too long ends before a word.
* Examples and tables keep their lines where there is room for them.

Entered by the main thread.
"""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Iterable

import click

NARROW = 58         # columns, from which on an option and its help have no room beside each other
LEAST = 20          # columns that a terminal has at least
SHORT = 12          # columns of what stands beside its help on a narrow terminal
HYPHEN = '\u2011'    # stands for a hyphen while click breaks lines, as it breaks them at hyphens too


class Formatter(click.HelpFormatter):
    """Writes help as wide as the terminal, where click's own is 50 columns wide at least."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        if width is None:
            width = max(min(shutil.get_terminal_size().columns, max_width or 80) - 2, LEAST)
        super().__init__(indent_increment, width, max_width)

    def write(self, string: str) -> None:
        """Write a text that is laid out."""
        super().write(string.replace(HYPHEN, '-'))

    def write_text(self, text: str) -> None:
        """Write paragraphs; one that begins with a backspace keeps its lines, as far as they fit."""
        super().write_text(folded(text, self.width - self.current_indent).replace('-', HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms and what they mean, beside each other where there is room."""
        rows = [(term, text.replace('-', HYPHEN)) for term, text in rows]
        super().write_dl(rows, SHORT if self.width < NARROW else col_max, col_spacing)


class Context(click.Context):
    """A context of click whose help is laid out here."""

    formatter_class: type[click.HelpFormatter] = Formatter


def output_width(number: int) -> int:
    """Return how many columns the terminal has that descriptor `number` leads to; 0 for what is no terminal."""
    try:
        return os.get_terminal_size(number).columns if os.isatty(number) else 0
    except OSError:
        return 0


def folded_sentences(text: str, room: int) -> str:
    """Return `text` broken between words; a line with an indent, such as a command or what a host said, stays whole."""
    if room < LEAST:
        return text
    return ''.join(
        line if line[:1].isspace() or len(line) <= room else textwrap.fill(
            line, room, break_long_words=False, break_on_hyphens=False) + '\n'
        for line in text.splitlines(keepends=True))


def folded(text: str, room: int) -> str:
    """Return `text` with the lines that it keeps folded, so that each has at most `room` columns if its words do."""
    blocks = text.split('\n\n')
    for at, block in enumerate(blocks):
        if block.lstrip('\n').startswith('\b'):
            blocks[at] = '\n'.join(fold(line, room) for line in block.split('\n'))
    return '\n\n'.join(blocks)


def fold(line: str, room: int) -> str:
    """Return a line, and what has no room in it below, where its second column or its words begin."""
    if len(line) <= room:
        return line
    first, indent = '', len(line) - len(line.lstrip()) + 4
    second = re.match(r' *\S+( \S+)*  +', line)
    if second and second.end() <= room // 2:
        indent = second.end()
    elif second:
        first, line = f'{second[0].rstrip()}\n', ' ' * indent + line[second.end():]
    return first + '\n'.join(textwrap.wrap(
        line, room, subsequent_indent=' ' * indent, break_long_words=False, break_on_hyphens=False))
