"""
``econtext sync``: makes a folder like another, sending only what differs.

Invariants:

* Nothing is removed without ``--delete``, and ``--dry-run`` changes nothing.

Entered by the main thread.
"""

from __future__ import annotations

import errno
import os
from typing import Any

import click

from econtext.command_line import options, output
from econtext.command_line.connecting import Way
from econtext.command_line.files import Place, amount, bar, copy, files, places
from econtext.command_line.targets import parse_location

HELP = """\
Make a folder like another one, sending only files that differ, as rsync does.

SOURCE/ means what is in the folder; SOURCE without the / is the folder itself, which goes into TARGET. A file counts as
the same if its size and its time of change are.

\b
Examples:
  econtext sync site/ web1:/srv/site
  econtext sync --delete --dry-run site/ web1:/srv/site
  econtext sync web1:/var/log logs
  econtext sync --checksum web1:/srv/a/ web2:/srv/a
"""


Tree = dict[bytes, tuple[Any, ...]]
HABITS = {
    '-e': 'options of ssh are -p, -i, -F, -o and -J',
    '--rsh': 'options of ssh are -p, -i, -F, -o and -J',
    '--exclude': 'sync makes whole folders alike; sync their parts one by one',
    '--include': 'sync makes whole folders alike; sync their parts one by one',
    '-u': 'a file that differs is always sent',
    '--rsync-path': 'no rsync is needed there; --sudo becomes another user',
    '-H': 'each name of a file becomes a file of its own',
}


def differing(source: Tree, target: Tree, delete: bool) -> dict[str, list[bytes]]:
    """Return the names that would be sent and, with `delete`, those that would be removed."""
    sent = [name for name, found in source.items() if found[0] != 'd' and target.get(name) != found]
    removed = [name for name in target if name not in source] if delete else []
    return {'send': sorted(sent), 'delete': sorted(removed)}


def called(
    source: str, target: str, way: Way, delete: bool, dry_run: bool, checksum: bool, as_json: bool,
    progress: bool | None,
) -> int:
    with places([parse_location(source), parse_location(target)], way) as (begin, end):
        kind = begin.kind()
        if not kind:
            raise FileNotFoundError(errno.ENOENT, 'no such folder', str(begin))
        if kind != 'folder':
            raise NotADirectoryError(errno.ENOTDIR, 'sync is for folders; files are copied by cp', str(begin))
        if not begin.path.endswith('/') and os.path.basename(begin.path) not in ('.', '..', '~'):
            end = Place(end.context, os.path.join(end.path, os.path.basename(begin.path)))
        begin = Place(begin.context, begin.path.rstrip('/') or '/')
        if dry_run:
            if checksum:
                raise click.UsageError('--dry-run compares times and sizes: leave --checksum out')
            show(differing(begin.tree(), end.tree(), delete), as_json)
            return 0
        end.make_folder()
        done = copy(begin, end, compare='content' if checksum else 'time', delete=delete,
                    progress=False if as_json else bar(progress))
        tell(done, as_json)
    return 0


def show(found: dict[str, list[bytes]], as_json: bool) -> None:
    for action, names in found.items():
        for name in names:
            if as_json:
                output.print_json(action=action, path=output.printable(os.fsdecode(name)))
            else:
                output.write('stdout', f'{action:<7} '.encode() + name + b'\n')


def tell(done: Any, as_json: bool) -> None:
    """Say what was done."""
    if as_json:
        output.print_json(
            path=os.fsdecode(done.path), files=done.files, bytes=done.bytes, unchanged=done.unchanged,
            deleted=done.deleted, left_out=[os.fsdecode(each) for each in done.left_out])
        return
    text = f'{files(done.files)} sent ({amount(done.bytes)}), {done.unchanged} unchanged, {done.deleted} deleted'
    output.write('stdout', f'{text}\n'.encode())
    for path in done.left_out:
        output.write('stderr', b'econtext: left out: ' + os.fsencode(path) + b'\n')


command: click.Command = click.command('sync', cls=options.Command, help=HELP, habits=HABITS)(options.reach(
    click.argument('source', metavar='SOURCE', shell_complete=options.complete_locations),
    click.argument('target', metavar='TARGET', shell_complete=options.complete_locations),
    click.option('--delete', is_flag=True, help='Remove from TARGET what is not in SOURCE.'),
    click.option('-n', '--dry-run', is_flag=True, help='Only show what would be sent and deleted.'),
    click.option('-c', '--checksum', is_flag=True, help='Compare the content of files in place of sizes and times.'),
    click.option('--progress/--no-progress', '-P/-q', default=None, help='Show a bar; by default on a terminal.'),
    click.option('-a', '-r', '-t', '--archive', is_flag=True, expose_value=False,
                 help='As without: folders go with all in them, modes, times and links, not owners.'),
    options.COMPRESS,
    options.JSON,
)(called))
