"""
``econtext serve``: a server that keeps contexts warm between commands, see ``service``.

Invariants:

* There is one server for a user and a version of econtext; a second one ends with an error.

Entered by the main thread.
"""

from __future__ import annotations

import json
import os
import sys

import click

from econtext.command_line import options, output
from econtext.command_line.application import FAILED, complain
from econtext.command_line.service import front, requests, supervisor
from econtext.command_line.service.requests import Request

HELP = """\
Keep connections warm between commands.

While a server runs, `econtext run`, `exec` and `shell` to one host by ssh find the connection of an earlier command.
On a terminal such a command starts a server by itself. ECONTEXT_SERVER=0 forbids that, ECONTEXT_SERVER=1 asks for it
everywhere; --no-server has one command connect by itself.

Without an option this is the server, until it had nothing to do for long, or a signal ends it.

\b
Examples:
  econtext serve --status
  econtext serve --stop
  econtext serve --idle 3600 &
"""


class NoAnswer(Exception):
    """There is no server, or `process` is one that does not answer."""

    def __init__(self, process: int | None = None) -> None:
        super().__init__(process)
        self.process = process

    def __str__(self) -> str:
        if self.process is None:
            return 'no session server runs'
        return (f'the session server, process {self.process}, does not answer within {front.ANSWERS} s: continue it if '
                f'it was stopped (kill -CONT {self.process}), or end it (kill -KILL {self.process})')


def ask(kind: bytes) -> bytes:
    """Return what the server answers; raise NoAnswer."""
    try:
        connection = front.connect()
        if connection is None:
            raise NoAnswer
        with connection:
            try:
                connection.send(Request(kind, requests.key()))
                found: bytes = connection.receive(requests.LARGEST)
            except TimeoutError:
                raise NoAnswer(requests.peer_process(connection.socket)) from None
            return found
    except OSError:
        raise NoAnswer from None


def stop() -> int:
    """Have the server end."""
    try:
        found = ask(requests.STOP)
    except NoAnswer as error:
        complain(str(error))
        return FAILED
    if found.strip(b'0'):
        sys.stderr.write(f'econtext: the session server ends with the commands that it runs: {found.decode()}\n')
    return 0


def show_status(as_json: bool) -> int:
    """Print what the server says of itself."""
    try:
        found = ask(requests.STATUS)
    except NoAnswer as error:
        if as_json:
            output.print_json(running=False)
        if error.process is not None or not as_json:
            complain(str(error))
        return FAILED
    told = json.loads(found)
    if as_json:
        output.print_json(running=True, **told)
        return 0
    click.echo(f'process {told["process"]}\nsocket {told["socket"]}\nrunning commands {told["commands"]}')
    if told['ends_after'] is not None:
        click.echo(f'ends after {told["ends_after"]:.0f} s without a command')
    return 0


def called(idle: float, wants_stop: bool, wants_status: bool, as_json: bool) -> int:
    if wants_stop:
        return stop()
    if as_json and not wants_status:
        raise click.UsageError('--json is for --status')
    if wants_status:
        return show_status(as_json)
    try:
        # Its processes are of any folder, and make files as each command wants them.
        supervisor.Supervisor(idle).serve(lambda: os.chdir('/'))
    except supervisor.CannotServe as error:
        complain(str(error))
        return FAILED
    return 0


command: click.Command = click.command('serve', cls=options.Command, help=HELP)(
    click.option('--idle', metavar='SECONDS', type=click.FloatRange(min=0, min_open=True), default=supervisor.IDLE,
                 show_default=True, help='How long connections, and the server, stay without a command.')(
    click.option('--stop', 'wants_stop', is_flag=True, help='Have the server end, once its commands have ended.')(
    click.option('--status', 'wants_status', is_flag=True, help='Show whether a server runs.')(
    options.JSON(called)))))
