"""
``econtext ls``: files of a host.

Invariants:

* Names go to standard output as bytes, as they are there; on a terminal without control characters.
* A place that cannot be listed is told, and keeps no other from being listed.

Entered by the main thread.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from typing import Any

import click

import econtext
from econtext.child import listings
from econtext.child.transfer import as_bytes
from econtext.command_line import options, output
from econtext.command_line.application import FAILED, complain
from econtext.command_line.connecting import Way
from econtext.command_line.files import Place, amount, places
from econtext.command_line.targets import BadTarget, Location, parse, parse_location
from econtext.controller.text import harmless

HALF_A_YEAR = 182 * 86400
HABITS = {
    '-R': "folders are listed one by one; a pattern may name several: 'web1:/etc/*'",
    '-n': 'owners are shown by name; --json is for other programs',
    '-u': 'times are those of the last change',
    '-c': 'times are those of the last change',
}
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


@dataclass(frozen=True)
class Shape:
    """How entries are shown."""

    long: bool
    every: bool
    human: bool
    order: str | None
    backwards: bool
    as_json: bool

    def sorted(self, found: list[Any]) -> list[Any]:
        """Return entries in order."""
        keys: dict[str | None, Any] = {'time': lambda entry: -entry[6], 'size': lambda entry: -entry[5]}
        key = keys.get(self.order, lambda entry: 0)
        return sorted(found, key=lambda entry: (key(entry), entry[0]), reverse=self.backwards)


def called(words: tuple[str, ...], way: Way, itself: bool, **shape: Any) -> int:
    look, status = Shape(**shape), 0
    with places([location(word) for word in words], way) as found:
        wanted = [each for place in found for each in place.matching()]
        titled = len(wanted) > 1 and not itself and not look.as_json
        for at, place in enumerate(wanted):
            try:
                entries = entries_of(place, itself)
            except econtext.CallError as error:
                if not isinstance(error, OSError) or not error.strerror:
                    raise
                complain(f'{place}: {error.strerror}')
                status = FAILED
                continue
            if titled:
                output.write('stdout', (('\n' if at else '') + f'{place}:\n').encode('utf-8', 'surrogateescape'))
            show(place, entries, look)
    return status


def entries_of(place: Place, itself: bool) -> list[tuple[Any, ...]]:
    """Return the entries of a folder, or the one of the file; of the folder too if that is wanted itself."""
    assert place.context is not None, 'each place of ls has a host'
    found = place.context.call(listings.entry_of if itself else listings.entries, place.path)
    return [(as_bytes(name), *rest) for name, *rest in found]


def show(place: Place, entries: list[tuple[Any, ...]], look: Shape) -> None:
    assert place.context is not None, 'each place of ls has a host'
    for entry in look.sorted(entries):
        if not look.every and entry[0].startswith(b'.') and entry[0] not in (as_bytes(place.path), b'.'):
            continue
        if look.as_json:
            output.print_json(host=place.context.name, **fields(*entry))
        else:
            text = line(*entry, human=look.human) if look.long else os.fsdecode(entry[0])
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
    *, human: bool = False,
) -> str:
    form = '%b %e %H:%M' if abs(time.time() - changed) < HALF_A_YEAR else '%b %e  %Y'
    moment = time.strftime(form, time.localtime(changed))
    length = amount(size) if human else str(size)
    text = f'{stat.filemode(mode)} {links:>3} {user:<8} {group:<8} {length:>10} {moment} {os.fsdecode(name)}'
    return text + (f' -> {os.fsdecode(as_bytes(target))}' if target else '')


# As ls has it, -h is about sizes.
command: click.Command = click.command(
    'ls', cls=options.Command, help=HELP, context_settings={'help_option_names': ['--help']}, habits=HABITS,
)(options.reach(
    click.argument('words', metavar='HOST[:PATH]...', nargs=-1, required=True,
                   shell_complete=options.complete_locations),
    click.option('-l', '--long', is_flag=True, help='Also show modes, owners, sizes and times.'),
    click.option('-a', '-A', '--all', 'every', is_flag=True, help='Also show names that begin with a dot.'),
    click.option('-h', '--human-readable', 'human', is_flag=True, help='Show sizes with units.'),
    click.option('-d', '--directory', 'itself', is_flag=True, help='Show a folder itself in place of what is in it.'),
    click.option('-t', 'order', flag_value='time', help='The newest first.'),
    click.option('-S', 'order', flag_value='size', help='The largest first.'),
    click.option('-r', '--reverse', 'backwards', is_flag=True, help='In the reverse order.'),
    click.option('-1', is_flag=True, expose_value=False, help='One name a line, as without.'),
    options.JSON,
    taken={'-l': ''},
)(called))
