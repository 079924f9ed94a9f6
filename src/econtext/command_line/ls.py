"""
``econtext ls``: files of a host.

Invariants:

* Names go to standard output as bytes, as they are there; on a terminal without control characters.

Entered by the main thread.
"""

from __future__ import annotations

import os
import stat
import time
from typing import Any

import click

from econtext.child import listings
from econtext.child.transfer import as_bytes
from econtext.command_line import options, output
from econtext.command_line.connecting import Way
from econtext.command_line.files import Place, places
from econtext.command_line.targets import BadTarget, Location, parse, parse_location
from econtext.controller.text import harmless

HALF_A_YEAR = 182 * 86400
HELP = """\
List files of a host, as ls does there. No command ls is needed there.

HOST alone is the home directory.

\b
Examples:
  econtext ls web1:/etc
  econtext ls -l web1:/var/log
  econtext ls web1 --json
"""


def location(word: str) -> Location:
    """Return the place that `word` names: a host alone is a place, too."""
    found = parse_location(word)
    if found.target is None and '/' not in word:
        return Location(parse(word), '.')
    if found.target is None:
        raise BadTarget(f'{word}: write HOST:PATH; local:PATH is a path of this machine')
    return found


def called(words: tuple[str, ...], way: Way, long: bool, every: bool, as_json: bool) -> int:
    with places([location(word) for word in words], way) as found:
        for at, place in enumerate(found):
            for each in place.matching():
                if len(words) > 1 and not as_json:
                    output.write('stdout', (('\n' if at else '') + f'{each}:\n').encode('utf-8', 'surrogateescape'))
                show(each, long, every, as_json)
    return 0


def show(place: Place, long: bool, every: bool, as_json: bool) -> None:
    assert place.context is not None, 'each place of ls has a host'
    found = [(as_bytes(name), *rest) for name, *rest in place.context.call(listings.entries, place.path)]
    for entry in sorted(found):
        if not every and entry[0].startswith(b'.') and entry[0] != as_bytes(place.path):
            continue
        if as_json:
            output.print_json(host=place.context.name, **fields(*entry))
        else:
            text = line(*entry) if long else os.fsdecode(entry[0])
            output.write('stdout', shown(text).encode('utf-8', 'surrogateescape') + b'\n')


def shown(text: str) -> str:
    """Return a line such that a name of a file cannot steer a terminal."""
    return harmless(text) if os.isatty(1) else text


def fields(
    name: bytes, mode: int, links: int, user: str, group: str, size: int, changed: float, target: bytes,
) -> dict[str, Any]:
    found = {'name': output.printable(os.fsdecode(name)), 'mode': f'{stat.S_IMODE(mode):04o}', 'type': kind(mode),
             'user': user, 'group': group, 'size': size, 'time': changed}
    return found | ({'target': output.printable(os.fsdecode(as_bytes(target)))} if target else {})


def kind(mode: int) -> str:
    return {'d': 'folder', 'l': 'link', '-': 'file'}.get(stat.filemode(mode)[0], 'other')


def line(
    name: bytes, mode: int, links: int, user: str, group: str, size: int, changed: float, target: bytes,
) -> str:
    form = '%b %e %H:%M' if abs(time.time() - changed) < HALF_A_YEAR else '%b %e  %Y'
    moment = time.strftime(form, time.localtime(changed))
    text = f'{stat.filemode(mode)} {links:>3} {user:<8} {group:<8} {size:>10} {moment} {os.fsdecode(name)}'
    return text + (f' -> {os.fsdecode(as_bytes(target))}' if target else '')


command: click.Command = click.command('ls', cls=options.Command, help=HELP)(options.reach(
    click.argument('words', metavar='HOST[:PATH]...', nargs=-1, required=True),
    click.option('-l', '--long', is_flag=True, help='Also show modes, owners, sizes and times.'),
    click.option('-a', '--all', 'every', is_flag=True, help='Also show names that begin with a dot.'),
    options.JSON,
    taken='-l',
)(called))
