"""
``econtext doctor``: what works on the way to a host, shown step by step.

Invariants:

* Each step is shown as soon as it has ended, whole, whichever thread tells of it.
* The exit status is 0 only if all that was examined works.

Any thread may enter a ``Screen``, whose lock orders them; all else is for the main thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import importlib
import json
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import click

import econtext
from econtext.command_line.application import with_option_names
from econtext.command_line.options import REACH, Command
from econtext.controller.doctor.examination import Report, Step, doctor
from econtext.controller.text import harmless_lines

COLOURS = {'ok': 'green', 'note': 'yellow', 'failed': 'bold red'}
HELP = """\
Try the way to a host: what works, how long it takes, and the remedy for what does not.

\b
Examples:
  econtext doctor web1                       the way to a host by ssh
  econtext doctor web1 --sudo                the same, and then sudo on it
  econtext doctor db1 --via bastion          a host behind another
  econtext doctor --by podman NAME           another connector, and its argument

The exit status is 0 if all works, 1 if something does not, 2 for a command line that makes no sense.
"""


def examine(words: dict[str, Any], screen: Screen) -> int:
    """Do what the command line says."""
    by, sudo = words['by'], words['sudo']
    target = [words['target']] if words['target'] else []
    if not (target or sudo or by != 'ssh'):
        raise click.UsageError('doctor needs the name of a host')
    reports: list[Report] = []
    with econtext.Broker() as broker:
        via: Any = broker
        for host in words['via']:
            via = via.ssh(host, **of_ssh(words, screen))
        if target or by != 'ssh':
            options = of_ssh(words, screen) if by == 'ssh' else of_others(words)
            reports.append(doctor(via, *target, connector=by, progress=screen.show, **options))
            if sudo and reports[0].ok:
                via = getattr(via, by)(*target, **options)
        if sudo and all(report.ok for report in reports):
            screen.title(f'sudo to {sudo}')
            reports.append(doctor(
                via, sudo, connector='sudo', progress=screen.show,
                password=screen.ask, answers=screen.ask, connect_timeout=words['timeout']))
    if words['as_json']:
        click.echo(json.dumps([dataclasses.asdict(report) for report in reports], indent=2))
    return 0 if all(report.ok for report in reports) else 1


def of_ssh(words: dict[str, Any], screen: Screen) -> dict[str, Any]:
    """Return the options for ssh; what is asked on the way, the user is asked."""
    args = ['-F', words['config']] if words['config'] else []
    for option in words['ssh_options']:
        args += ['-o', option]
    return {
        **of_others(words), 'username': words['username'], 'port': words['port'],
        'identity_file': words['identity_file'], 'ssh_args': args,
        'password': screen.ask, 'passphrase': screen.ask, 'answers': screen.ask,
    }


def of_others(words: dict[str, Any]) -> dict[str, Any]:
    """Return the options that every connector has."""
    return {'python': words['python'], 'connect_timeout': words['timeout']}


class Screen:
    """Shows steps as they come; on a terminal the one that runs, too."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent
        self.live: bool | Any = not silent and sys.stdout.isatty()
        self.lock: threading.Lock = threading.Lock()
        self.running: str = ''
        self.console: Any = None
        if self.live:
            with contextlib.suppress(ImportError):
                rich = importlib.import_module('rich.console')
                self.console = rich.Console(highlight=False, soft_wrap=True)

    def show(self, step: Step) -> None:
        """Show a step that begins or has ended."""
        with self.lock:
            if self.silent:
                return
            if step.outcome == 'running':
                self.begin(f'        {step.name} ...')
                return
            self.begin('')
            text = with_option_names(str(step)).replace('--connect-timeout', '--timeout')
            if self.console is None:
                sys.stdout.write(text + '\n')
                sys.stdout.flush()
            else:
                self.console.print(text, style=COLOURS.get(step.outcome), markup=False)

    def begin(self, text: str) -> None:
        """Write `text` where the line of the running step stood; it is no line of its own."""
        if self.live and (self.running or text):
            sys.stdout.write('\r' + ' ' * len(self.running) + '\r' + text)
            sys.stdout.flush()
            self.running = text

    def title(self, text: str) -> None:
        """Begin another examination."""
        if not self.silent:
            sys.stdout.write(text + '\n')

    def ask(self, question: str) -> str:
        """Ask the user what a program asks on the way."""
        with self.lock:
            self.begin('')
            return getpass.getpass(question)

    def close(self) -> None:
        """End the line of a step that still runs."""
        with self.lock:
            self.begin('')


def called(**words: Any) -> int:
    # What contexts print and log is the doctor's affair; what it found is shown once.
    logging.getLogger('econtext').addHandler(logging.NullHandler())
    logging.getLogger('econtext').propagate = False
    screen = Screen(words['as_json'])
    try:
        return examine(words, screen)
    except econtext.EcontextError as error:
        screen.close()
        sys.stderr.write(harmless_lines(f'{error}\n'))
        return 1
    finally:
        screen.close()


OPTIONS: tuple[Any, ...] = (
    click.argument('target', metavar='[HOST]', required=False),
    click.option('--by', metavar='CONNECTOR', default='ssh', help='Another connector than ssh.'),
    *REACH,
    click.option('--timeout', metavar='SECONDS', type=float, default=60.0, show_default=True,
                 help='How long a start may take.'),
    click.option('--json', 'as_json', is_flag=True, help='Print the report as JSON.'),
)


def with_options(function: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


command: click.Command = click.command('doctor', cls=Command, help=HELP)(with_options(called))
