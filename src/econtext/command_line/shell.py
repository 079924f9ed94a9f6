"""
``econtext shell``: a Python prompt on a host.

Invariants:

* The history is the old file or the new one, whole, and only its owner can read it; without one the prompt works.

Entered by the main thread.
"""

from __future__ import annotations

import os
from typing import Any

import click

import econtext
from econtext.child import scripts
from econtext.command_line import options, session
from econtext.command_line.connecting import Way, context_of
from econtext.command_line.run import find_modules, status_from
from econtext.command_line.targets import Target

KEPT = 1000     # lines of the history
HELP = """\
Open a Python prompt on a host.

Tab completes names, the arrow keys bring back lines of earlier sessions, and `import` finds the modules of your current
directory too. Without a terminal it runs the program that standard input holds.

\b
Examples:
  econtext shell web1
  econtext shell web1 --sudo
  econtext shell docker:app
  echo 'import sys; print(sys.version)' | econtext shell web1
"""


class History:
    """Lines of earlier sessions, in a file of the user."""

    def __init__(self) -> None:
        folder = os.environ.get('XDG_STATE_HOME') or os.path.expanduser('~/.local/state')
        self.path: str = os.path.join(folder, 'econtext', 'history')

    def lines(self) -> list[str]:
        try:
            with open(self.path, encoding='utf-8', errors='surrogateescape') as file:
                return file.read().splitlines()[-KEPT:]
        except OSError:
            return []

    def add(self, new: list[str]) -> None:
        """Keep further lines, as far as that is possible."""
        if not new:
            return
        text = '\n'.join((self.lines() + new)[-KEPT:]) + '\n'
        try:
            os.makedirs(os.path.dirname(self.path), 0o700, exist_ok=True)
            beside = f'{self.path}.{os.getpid()}'
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='utf-8',
                      errors='surrogateescape') as file:
                file.write(text)
            os.replace(beside, self.path)
        except OSError:
            # A home that cannot be written to: the next session begins without.
            pass


def called(target: Target, way: Way) -> int:
    find_modules(os.getcwd())
    terminal = os.isatty(0)
    history = History()
    with context_of(target, way) as context:
        version = '.'.join(map(str, context.wait_ready().python_version))
        banner = f'Python {version} on {target}; the modules of this folder are there. Ctrl-D ends it.'

        def begin(beside: econtext.Context) -> Any:
            return beside.submit(scripts.run_prompt, banner, history.lines() if terminal else [])

        def run() -> int:
            status, added = session.run_program(context, begin, session.own, controls, terminal, True)
            history.add([str(line) for line in added if line])
            return int(status)

        with session.Controls(terminal) as controls, session.with_own_streams(terminal):
            return status_from(run)


command: click.Command = click.command('shell', cls=options.Command, help=HELP)(options.reach(
    click.argument('target', metavar='HOST', callback=options.host, shell_complete=options.complete_hosts),
    served=True,
)(called))
