#!/usr/bin/env python3
"""Writes docs/man/econtext.1 from the help of the commands: run it after a change of them; a rule test looks."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / 'docs' / 'man' / 'econtext.1'
sys.path.insert(0, str(ROOT / 'src'))

from econtext.command_line import application  # noqa: E402 -- found through the line above


def escaped(text: str) -> str:
    """Return `text` as roff takes it literally."""
    text = text.replace('\\', '\\e').replace('-', '\\-')
    return re.sub(r"^([.'])", r'\\&\1', text, flags=re.MULTILINE)


def paragraphs(text: str) -> list[str]:
    """Return the lines of a help text; what stands behind a backspace keeps its lines."""
    lines = []
    for block in text.strip().split('\n\n'):
        if block.startswith('\b'):
            lines += ['.PP', '.nf', escaped(block.lstrip('\b\n')), '.fi']
        else:
            lines += ['.PP', escaped(' '.join(block.split()))]
    return lines


def options(command: click.Command, ctx: click.Context) -> list[str]:
    lines = []
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            lines += ['.TP', f'.B {escaped(record[0])}', escaped(record[1])]
    return lines


def page() -> str:
    """Return the whole page."""
    top = application.application
    ctx = click.Context(top, info_name='econtext', max_content_width=100)
    lines = ['.\\" Written by scripts/man.py.', '.TH ECONTEXT 1', '.SH NAME', f'econtext \\- {escaped(top.help or "")}',
             '.SH SYNOPSIS', '.B econtext', escaped('COMMAND [OPTIONS] ARGS...'), '.SH HOSTS AND EXIT STATUS',
             *paragraphs(application.EPILOG), '.SH COMMANDS']
    for name in top.list_commands(ctx):
        command = top.get_command(ctx, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=ctx, max_content_width=100)
        usage = ' '.join(command.collect_usage_pieces(inner))
        title = escaped(f'econtext {name} {usage}')
        lines += [f'.SS {title}', *paragraphs(command.help or ''), *options(command, inner)]
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    PAGE.write_text(page(), 'utf-8')
