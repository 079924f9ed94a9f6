"""
``econtext fleet``: which hosts answer, what runs there, and how long they take.

Invariants:

* A host that does not answer is a row as well, and holds up no other.

Entered by the main thread; `examine` by up to AT_A_TIME threads, one for each host.
"""

from __future__ import annotations

import concurrent.futures
import os
import textwrap
import time
from typing import Any

import click

import econtext
from econtext.command_line import options, output
from econtext.command_line.application import FAILED, said, status_of
from econtext.command_line.connecting import Way, fleet_of
from econtext.command_line.execute import progress
from econtext.command_line.help import LEAST, output_width
from econtext.controller.text import harmless

TRIPS = 3
AT_A_TIME = 64
COLUMNS = ('HOST', 'ANSWERS', 'PYTHON', 'SYSTEM', 'CONNECT', 'CALL')
HELP = """\
Show which hosts answer, with the version of Python and of the system there, and times.

CONNECT is how long a host took until its first answer, CALL how long a call takes from then on. The exit status is 0 if
all answer.

\b
Examples:
  econtext fleet web1,web2
  econtext fleet 'web*' local docker:app
  econtext fleet -I hosts.toml @eu
  econtext fleet -I hosts.toml --json
"""


def examine(fleet: econtext.Fleet, host: str) -> dict[str, Any]:
    """Return what there is to be told of a host."""
    begun = time.monotonic()
    try:
        context = fleet.context(host)
        uname = context.call(os.uname)
        connected = time.monotonic() - begun
        trips = []
        for _ in range(TRIPS):
            begun = time.monotonic()
            context.call(os.getpid)
            trips.append(time.monotonic() - begun)
    except Exception as error:
        status = status_of(error)
        if status is None:
            raise
        return {'host': host, 'answers': False, 'status': status or FAILED, 'error': said(error)}
    return {
        'host': host, 'answers': True, 'python': '.'.join(map(str, context.python_version)),
        'executable': context.executable, 'system': f'{uname[0]} {uname[2]}', 'machine': uname[4], 'node': uname[1],
        'connect_seconds': round(connected, 4), 'call_seconds': round(min(trips), 6),
    }


def cells(found: dict[str, Any]) -> tuple[str, ...]:
    """Return a row of the table."""
    if not found['answers']:
        return found['host'], 'no', harmless(found['error'].splitlines()[0])
    return (found['host'], 'yes', found['python'], f'{found["system"]} {found["machine"]}',
            f'{found["connect_seconds"] * 1000:.0f} ms', f'{found["call_seconds"] * 1000:.2f} ms')


def table(rows: list[tuple[str, ...]], room: int = 0) -> str:
    """
    Return rows as text in columns; a short row has its last cell over all columns that are left.

    Where whole rows are wider than `room`, each is a list of cells with their names.
    """
    widths = [max(len(row[at]) for row in rows if len(row) == len(COLUMNS)) for at in range(len(COLUMNS))]
    widths[0] = max(len(row[0]) for row in rows)
    if 0 < room < sum(widths) + 2 * (len(widths) - 1):
        return ''.join(listed(row, room) for row in rows[1:])
    lines = []
    for row in rows:
        last = len(row) - 1
        lines.append('  '.join(cell if at == last else cell.ljust(widths[at]) for at, cell in enumerate(row)))
    return '\n'.join(lines) + '\n'


def listed(row: tuple[str, ...], room: int) -> str:
    """Return a row as lines, one for each cell, which go on below themselves."""
    lines = [row[0]]
    names = COLUMNS[1:len(row)] if len(row) == len(COLUMNS) else (COLUMNS[1], '')
    for name, cell in zip(names, row[1:], strict=True):
        head = f'  {name:7}  '
        lines.append(textwrap.fill(
            cell, max(room, LEAST), initial_indent=head, subsequent_indent=' ' * len(head), break_long_words=False,
            break_on_hyphens=False))
    return '\n'.join(lines) + '\n'


def called(hosts: tuple[str, ...], way: Way, as_json: bool, show_progress: bool | None) -> int:
    if not hosts and way.inventory is None:
        raise click.UsageError('name hosts, or an --inventory')
    status = 0
    with fleet_of(','.join(hosts) or 'all', way) as fleet:
        with progress(fleet, False if as_json else show_progress) as connecting:
            connecting.connect_all()
        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            rows: list[tuple[str, ...]] = [COLUMNS]
            for found in pool.map(lambda host: examine(fleet, host), fleet):
                status = max(status, 0 if found['answers'] else found.pop('status'))
                if as_json:
                    output.print_json(**found)
                else:
                    rows.append(cells(found))
    if not as_json:
        output.write('stdout', table(rows, output_width(1)).encode('utf-8', 'surrogateescape'))
    return status


command: click.Command = click.command('fleet', cls=options.Command, help=HELP)(options.reach(
    click.argument('hosts', metavar='HOSTS...', nargs=-1, shell_complete=options.complete_hosts),
    options.JSON,
    click.option('--progress/--no-progress', 'show_progress', default=None,
                 help='Show how far the hosts are; by default on a terminal.'),
    options.INVENTORY,
)(called))
