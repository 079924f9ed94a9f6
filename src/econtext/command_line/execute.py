"""
``econtext exec``: a command on one host, with its streams as ``ssh`` has them; or on many, in lines.

Invariants:

* The command of one host has our own streams, byte by byte, and its exit status is ours.
* On many hosts each host ends by itself; the exit status is the highest of theirs.

Entered by the main thread; lines of many hosts come in threads of the fleet, and go to ``output.Output``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click

import econtext
from econtext.command_line import options, output, session
from econtext.command_line.application import FAILED, LATE, complain, said, status_of
from econtext.command_line.connecting import Way, fleet_of
from econtext.controller import text
from econtext.controller.commands import running

BLOCK = 1 << 16
# As shells have it: a program that is not there, and one that may not be run.
NOT_RUN = {errno.ENOENT: 127, errno.EACCES: 126, errno.ENOEXEC: 126}
PROGRAM = ': the program cannot be used: '
HELP = """\
Run a command on one host or many, and end with its exit status.

Words behind -- are the program and its arguments, which no shell reads. A single word is a line for /bin/sh.
With one host the command has your standard input and output. With many hosts each line has the name of its host.

\b
Examples:
  econtext exec web1 -- uptime
  econtext exec web1 --sudo -- systemctl reload nginx
  econtext exec web1 -- 'ps aux | grep nginx'
  econtext exec web1,web2 -- git -C /srv/app pull
  econtext exec 'web*' --group -- df -h
  tar c site | econtext exec web1 -- tar x -C /srv
  econtext exec web1 -t -- top
"""


def status_from(returncode: int) -> int:
    """Return the exit status for that of a command, as a shell has it: 128 and the number of a signal."""
    return 128 - returncode if returncode < 0 else returncode


def not_run(error: BaseException) -> int | None:
    """Return the exit status of a program that could not be run, as shells have it; None if that is not why."""
    if isinstance(error, OSError) and not isinstance(error, econtext.EcontextError) and PROGRAM in str(error.strerror):
        return NOT_RUN.get(error.errno or 0)
    return None


def own_input() -> Iterator[bytes]:
    """Yield what there is to be read from standard input, as it comes."""
    while data := os.read(0, BLOCK):
        yield data


def variables(pairs: tuple[str, ...]) -> dict[str, str] | None:
    """Return the variables that ``--env`` sets."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition('=')
        if not name:
            raise click.UsageError(f'--env {pair}: write NAME=VALUE')
        found[name] = value if equals else os.environ.get(name, '')
    return found or None


def run_one(context: econtext.Context, argv: Any, timeout: float | None, **details: Any) -> int:
    """Run a command with our own standard input and output; return its exit status. Raise CallTimeout."""
    request = running.Request(argv, False, False, timeout=timeout, text=False, **details)
    command = running.Command(context, request)
    wait = True
    try:
        for tag, data in command.pieces():
            output.write(running.STREAMS[tag], data)
        in_time, status = command.answer()
        if not in_time:
            raise econtext.CallTimeout(session.late(timeout))
        return status_from(status)
    except BaseException as error:
        wait = isinstance(error, Exception)
        raise
    finally:
        command.leave(wait)


def run_in_terminal(
    context: econtext.Context, argv: Any, reads: bool, timeout: float | None, **details: Any
) -> int:
    """Run a command in a terminal there, with ours; return its exit status."""
    details['env'] = {'TERM': os.environ.get('TERM', 'dumb'), **(details['env'] or {})}
    request = running.Request(argv, False, False, None, timeout=timeout, text=False, **details)
    with session.Controls(True) as controls, session.with_own_streams(True):
        return status_from(session.run_command(context, request, session.own, controls, reads))


def run_many(fleet: econtext.Fleet, argv: Any, style: str, timeout: float | None, **details: Any) -> int:
    """Run a command on each host; return the highest exit status."""
    shown = output.Output(fleet, style)
    statuses = dict.fromkeys(fleet, 0)
    fleet.run(
        argv, timeout=timeout, on_line=lambda line: shown.line(line.host, line.stream, str(line)),
        on_end=lambda future: statuses.update({future.host: show_end(future, shown)}), **details)
    summary(statuses, shown.style)
    return max(statuses.values(), default=0)


def show_end(future: Any, shown: output.Output) -> int:
    """Show how the host of `future` ended; return its exit status."""
    status, error = FAILED, ''
    failure = None if future.cancelled() else future.exception()
    if future.cancelled():
        error = 'skipped, since as many hosts had failed as --stop-after allows'
    elif failure is None:
        status = status_from(future.result().returncode)
    elif isinstance(failure, subprocess.TimeoutExpired):
        status, error = LATE, session.late(failure.timeout)
    else:
        status, error = not_run(failure) or status_of(failure) or FAILED, said(failure)
    shown.end(future.host, status, error)
    return status


def summary(statuses: dict[str, int], style: str) -> None:
    """Say on standard error which hosts failed."""
    failed = [f'{host} ({status})' for host, status in statuses.items() if status]
    if failed and style != 'json' and len(statuses) > 1:
        sys.stdout.flush()
        names = ', '.join(failed[:10]) + (', …' if len(failed) > 10 else '')
        sys.stderr.write(f'econtext: {len(failed)} of {len(statuses)} hosts failed, with their statuses: {names}\n')


@contextlib.contextmanager
def progress(fleet: econtext.Fleet, wanted: bool | None) -> Iterator[econtext.Fleet]:
    """Yield `fleet` such that it shows how far it is, where a person looks on."""
    if wanted is None:
        wanted = len(fleet) > 1 and os.isatty(2)
    if not wanted:
        yield fleet
        return
    if not (os.isatty(1) and os.isatty(2)):
        yield fleet.options(progress=True)
        return
    with bar(len(fleet)) as show:
        yield fleet.options(progress=show)


@contextlib.contextmanager
def bar(total: int) -> Iterator[Any]:
    """Yield a function that shows Progress below the lines that are printed meanwhile."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
    except ImportError:
        yield None
        return
    console = Console(stderr=True)
    # The text has its room first, and the bar what is left.
    shown = Progress(TextColumn('{task.fields[states]}', markup=False), BarColumn(20), console=console, transient=True)
    task = shown.add_task('', total=total, states='')
    # Lines go to the same terminal: `output` takes the bar away before each, and the next look draws it again.
    with shown:
        yield lambda now: shown.update(task, completed=now.ended, states=within(now, console.width - 1))


def within(now: Any, room: int) -> str:
    """Return as much of Progress as has room in so many characters, in whole words."""
    whole = str(now)
    texts = whole, whole.rpartition(' (')[0], f'{now.ended}/{now.total} hosts, {now.failed} failed'
    return next((text for text in texts if len(text) <= room), f'{now.ended}/{now.total}')


def called(
    hosts: str, words: tuple[str, ...], way: Way, timeout: float | None, style: str | None, as_json: bool, tty: bool,
    no_stdin: bool, env: tuple[str, ...], chdir: str | None, limit: int | None, batch: Any,
    stop_after: Any, show_progress: bool | None,
) -> int:
    argv: Any = words[0] if len(words) == 1 else list(words)
    details: dict[str, Any] = {'env': variables(env), 'extend_env': True, 'cwd': chdir}
    alone = not as_json and style is None
    with fleet_of(hosts, way, alone) as fleet:
        if len(fleet) == 1 and alone:
            context = fleet.context(fleet[0])
            try:
                with session.only(fleet[0]):
                    if session.can_have_terminal(tty):
                        return run_in_terminal(context, argv, not no_stdin, timeout, **details)
                    return run_one(context, argv, timeout, input=None if no_stdin else own_input(), **details)
            except OSError as error:
                status = not_run(error)
                if status is None:
                    raise
                complain(said(error))
                return status
        if tty:
            raise click.UsageError('-t is for one host')
        chosen = fleet.options(
            limit=limit, batch=batch, stop_after=stop_after)
        with progress(chosen, False if as_json else show_progress) as chosen:
            return run_many(chosen, argv, 'json' if as_json else style or 'tagged', timeout, **details)


def amount(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Return a number or share of hosts."""
    if value is None:
        return None
    found: Any = int(value) if value.isascii() and value.isdigit() else value
    from econtext.controller.fleet.schedule import check_amount
    try:
        check_amount(str(param.name), found)
    except ValueError:
        wrong = f'{text.shown(value)} is no number of hosts, nor a share such as 10%'
        raise click.BadParameter(wrong, ctx, param) from None
    return found


command: click.Command = click.command('exec', cls=options.Command, leading=1, help=HELP)(options.reach(
    click.argument('hosts', metavar='HOSTS', shell_complete=options.complete_hosts),
    click.argument('words', metavar='-- COMMAND...', nargs=-1, required=True, type=click.UNPROCESSED),
    click.option('-t', '--tty', is_flag=True, help='Give the command a terminal, if standard input is one.'),
    click.option('-n', 'no_stdin', is_flag=True, help='Give the command no standard input.'),
    click.option('--tag', 'style', flag_value='tagged', help='Begin each line with the name of its host.'),
    click.option('--group', 'style', flag_value='grouped', help='Print the lines of each host together, at its end.'),
    options.JSON,
    options.TIMEOUT,
    click.option('-e', '--env', metavar='NAME=VALUE', multiple=True, help='Set a variable of the environment there.'),
    click.option('-C', '--chdir', metavar='DIR', help='The directory of the command.'),
    click.option('--limit', metavar='N', type=click.IntRange(1), help='On at most N hosts at a time.'),
    click.option('--batch', metavar='N|P%', callback=amount,
                 help='In batches of so many hosts; each ends before the next begins.'),
    click.option('--stop-after', metavar='N|P%', callback=amount,
                 help='Begin on no further host once so many have failed.'),
    click.option('--progress/--no-progress', 'show_progress', default=None,
                 help='Show how far the hosts are; by default on a terminal.'),
    options.INVENTORY,
    served=True,
)(called))
