"""
``econtext completion``: the completion script for a shell.

Invariants:

* Standard output gets the script and nothing else: a shell executes what it reads there.

Entered by the main thread.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

HELP = """\
Print the script by which a shell completes the commands, options and hosts of econtext.

\b
Bash, in ~/.bashrc:
  eval "$(econtext completion bash)"
Zsh, in ~/.zshrc:
  eval "$(econtext completion zsh)"
Fish:
  econtext completion fish > ~/.config/fish/completions/econtext.fish
"""


def called(shell: str) -> int:
    from econtext.command_line.application import application
    kind = get_completion_class(shell)
    assert kind is not None, 'click knows the shells of the choice'
    click.echo(kind(application, {}, 'econtext', '_ECONTEXT_COMPLETE').source())
    return 0


command: click.Command = click.command('completion', help=HELP)(
    click.argument('shell', type=click.Choice(['bash', 'zsh', 'fish']))(called))
