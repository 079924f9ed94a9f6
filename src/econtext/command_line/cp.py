"""
``econtext cp``: copies files as ``scp`` does.

Invariants:

* Several sources go only into a folder that is there.
* A pipe is copied as it comes; what was begun of it is no file until its end was read.

Entered by the main thread.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

from econtext.command_line import options, output
from econtext.command_line.connecting import Way
from econtext.command_line.files import Place, bar, copy, places
from econtext.command_line.targets import parse_location

HELP = """\
Copy files to a host, from a host, or between two hosts, as scp does.

HOST:PATH is a path on a host, relative to the home directory there. A file there is the old or the new one, whole,
whatever fails. The word - is standard input or output.

\b
Examples:
  econtext cp notes.txt web1:
  econtext cp -r site web1:/srv/
  econtext cp 'web1:/var/log/*.log' logs/
  econtext cp web1:/etc/hosts web2:/tmp/hosts
  econtext cp --sudo nginx.conf web1:/etc/nginx/
  pg_dump shop | econtext cp - web1:backup.sql
"""


HABITS = {
    '-3': 'two hosts send to each other through this machine anyway',
    '-R': 'folders are copied with -r',
    '-S': 'options of ssh are -P, -i, -F, -o and -J',
    '-c': 'name ciphers by -o Ciphers=...',
    '-T': 'names are never made up by the other side here',
}


def into_folder(target: Place) -> Place:
    """Return `target` such that what is copied goes into it under its own name."""
    return Place(target.context, target.path.rstrip('/') + '/')


def called(
    sources: tuple[str, ...], target: str, way: Way, recursive: bool, preserve: bool, as_json: bool,
    progress: bool | None,
) -> int:
    if '-' in sources or target == '-':
        return through_pipe(sources, target, way, as_json)
    with places([parse_location(word) for word in (*sources, target)], way) as found:
        wanted = [place for source in found[:-1] for place in source.matching()]
        end = found[-1]
        kind = end.kind()
        if len(wanted) > 1 and kind != 'folder':
            raise NotADirectoryError(errno.ENOTDIR, 'Not a folder, which several sources need', str(end))
        for source in wanted:
            done = copy_one(source, end, kind, recursive, preserve, False if as_json else bar(progress))
            tell(str(source), done, as_json)
    return 0


def tell(source: str, done: Any, as_json: bool) -> None:
    """Say what was copied, to other programs."""
    if as_json:
        output.print_json(
            source=output.printable(source), path=output.printable(os.fsdecode(done.path)), files=done.files,
            bytes=done.bytes)


def copy_one(source: Place, end: Place, kind: str, recursive: bool, preserve: bool, progress: bool) -> Any:
    its_kind = source.kind()
    if its_kind == 'folder':
        if not recursive:
            raise IsADirectoryError(errno.EISDIR, 'Is a folder: add -r to copy it', str(source))
        if kind == 'folder':
            end = into_folder(end)
    elif not its_kind:
        raise FileNotFoundError(errno.ENOENT, 'no such file or folder', str(source))
    return copy(source, end, times=preserve, compare='always', progress=progress)


def through_pipe(sources: tuple[str, ...], target: str, way: Way, as_json: bool) -> int:
    """Copy standard input to a host, or a file of a host to standard output."""
    if len(sources) != 1 or (sources[0] == '-') == (target == '-'):
        raise click.UsageError('- must be the only source, or the target')
    if as_json and target == '-':
        raise click.UsageError('--json prints to standard output, which the file goes to')
    location = parse_location(target if sources[0] == '-' else sources[0])
    if location.target is None:
        raise click.UsageError('- goes to or comes from a HOST:PATH')
    with places([location], way) as (place,):
        assert place.context is not None, 'a place with a host has a context'
        if target == '-':
            place.context.get(place.path, sys.stdout.buffer)
            sys.stdout.flush()
        else:
            tell('-', place.context.put(sys.stdin.buffer, place.path), as_json)
    return 0


command: click.Command = click.command('cp', cls=options.Command, help=HELP, habits=HABITS)(options.reach(
    click.argument('sources', metavar='SOURCE...', nargs=-1, required=True, shell_complete=options.complete_locations),
    click.argument('target', metavar='TARGET', shell_complete=options.complete_locations),
    click.option('-r', '--recursive', is_flag=True, help='Copy folders, with all that is in them.'),
    click.option('-p', '-a', '--preserve', is_flag=True, help='Keep the times of change.'),
    click.option('--progress/--no-progress', ' /-q', default=None, help='Show a bar; by default on a terminal.'),
    options.COMPRESS,
    options.JSON,
    taken={'-p': '-P'},
)(called))
