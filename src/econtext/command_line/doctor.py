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
import importlib
import json
import logging
import sys
import threading
from typing import Any

import click

import econtext
from econtext.command_line.application import complain, said
from econtext.command_line.connecting import Asker, Way, connect, options_of
from econtext.command_line.options import Command, complete_hosts, host, reach
from econtext.command_line.remedies import with_remedy
from econtext.command_line.targets import Target, parse
from econtext.controller.doctor.examination import Report, Step, doctor

COLOURS = {'ok': 'green', 'note': 'yellow', 'failed': 'bold red'}
HELP = """\
Try the way to a host: what works, how long it takes, and the remedy for what does not.

\b
Examples:
  econtext doctor web1                       the way to a host by ssh
  econtext doctor web1 --sudo                the same, and then sudo on it
  econtext doctor db1 --via bastion          a host behind another
  econtext doctor podman:NAME                a container
  econtext doctor --by su postgres           another connector, and its argument

The exit status is 0 if all works, 1 if something does not, 2 for a command line that makes no sense.
"""


def subject(by: str, name: str | None, sudo: str | None) -> Target | None:
    """Return where the way to examine leads; None if only sudo is wanted, on this machine."""
    if by != 'ssh':
        return Target(by, name or '')
    if name is not None:
        context = click.get_current_context()
        return host(context, next(param for param in context.command.params if param.name == 'name'), name)
    if not sudo:
        raise click.UsageError('doctor needs the name of a host')
    return None


def examine(target: Target | None, way: Way, screen: Screen) -> list[Report]:
    """Try the way, and show each step; return what was found."""
    reports: list[Report] = []
    asker = ScreenAsker(screen)
    with econtext.Broker() as broker, asker:
        via: Any = broker
        for hop in way.via:
            via = connect(via, parse(hop), way, asker)
            via.wait_ready()
        if target is not None:
            options = options_of(target, way, asker)
            args = target.args if target.name else ()
            reports.append(doctor(via, *args, connector=target.connector, progress=screen.show, **options))
            if way.sudo and reports[0].ok:
                via = getattr(via, target.connector)(*args, **options)
        if way.sudo and all(report.ok for report in reports):
            screen.title(f'sudo to {way.sudo}')
            ask: Any = asker.function()
            reports.append(doctor(
                via, way.sudo, connector='sudo', progress=screen.show, password=ask, answers=ask,
                connect_timeout=way.connect_timeout))
    return reports


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
            text = str(here(step))
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

    def make_room(self) -> None:
        """Take away the line of the running step: something else is shown there."""
        with self.lock:
            self.begin('')

    def close(self) -> None:
        """End the line of a step that still runs."""
        with self.lock:
            self.begin('')


class ScreenAsker(Asker):
    """Asks where the line of the running step stood."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self.screen = screen

    def typed(self, question: str, seen: bool) -> str | None:
        """Return a line that the user types."""
        self.screen.make_room()
        return super().typed(question, seen)


def here(step: Step) -> Step:
    """Return `step` with the remedy that there is at the command line."""
    return dataclasses.replace(step, remedy=with_remedy(step.remedy, step.kind))


def called(name: str | None, by: str, way: Way, as_json: bool) -> int:
    # What contexts print and log is the doctor's affair; what it found is shown once.
    logging.getLogger('econtext').addHandler(logging.NullHandler())
    logging.getLogger('econtext').propagate = bool(way.verbose)
    target = subject(by, name, way.sudo)
    screen = Screen(as_json)
    try:
        reports = examine(target, way, screen)
    except econtext.EcontextError as error:
        screen.close()
        complain(said(error))
        return 1
    finally:
        screen.close()
    if as_json:
        told = [dataclasses.replace(report, steps=list(map(here, report.steps))) for report in reports]
        click.echo(json.dumps([dataclasses.asdict(report) for report in told], indent=2))
    return 0 if all(report.ok for report in reports) else 1


command: click.Command = click.command('doctor', cls=Command, help=HELP)(reach(
    click.argument('name', metavar='[HOST]', required=False, shell_complete=complete_hosts),
    click.option('--by', metavar='CONNECTOR', default='ssh', help='Another connector than ssh.'),
    click.option('--json', 'as_json', is_flag=True, help='Print the report as JSON.'),
    connect=click.option(
        '--connect-timeout', '--timeout', metavar='SECONDS', type=click.FloatRange(min=0, min_open=True),
        default=60.0, show_default=True, help='How long a host may take to connect.'),
)(called))
