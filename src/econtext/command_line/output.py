"""
What commands print: the output of one host as it is, that of many hosts in lines behind their names, or JSON.

Invariants:

* The output of one host passes byte by byte, without a change.
* A line of many hosts is written whole, whatever other hosts print meanwhile.
* Colours go to terminals alone, and to none that NO_COLOR forbids.

Any thread may enter; ``lock`` orders them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any, BinaryIO

ERASE = b'\r\x1b[2K'    # takes away what stands in the line of the cursor
COLOURS = ('36', '33', '32', '35', '34', '96', '93', '92', '95', '94')


def is_coloured(number: int) -> bool:
    """Does descriptor `number` lead to a terminal that shows colours?"""
    return os.isatty(number) and not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'


def is_below_bar(stream: str) -> bool:
    """Does rich draw a bar on the terminal that `stream` leads to? What is written there would stand behind it."""
    drawn = getattr(sys.stderr, 'rich_proxied_file', None) is not None
    return drawn and os.environ.get('TERM') != 'dumb' and os.isatty(1 if stream == 'stdout' else 2)


def raw(stream: str) -> BinaryIO:
    """Return our own output for the `stream` of a command."""
    return sys.stdout.buffer if stream == 'stdout' else sys.stderr.buffer


def write(stream: str, data: bytes) -> None:
    """Write bytes of a command as they are, at once; where a bar stands, in its place."""
    file = raw(stream)
    file.write(ERASE + data if is_below_bar(stream) else data)
    file.flush()


def print_json(**fields: Any) -> None:
    """Print one object."""
    write('stdout', (json.dumps(fields, ensure_ascii=False) + '\n').encode('utf-8', 'surrogateescape'))


class Output:
    """The output of many hosts: `style` is ``'tagged'``, ``'grouped'`` or ``'json'``."""

    def __init__(self, hosts: Iterable[str], style: str) -> None:
        self.style = style
        self.lock: threading.Lock = threading.Lock()
        self.groups: dict[str, list[tuple[str, str]]] = {host: [] for host in hosts}
        width = max(map(len, self.groups), default=0)
        self.tags: dict[str, str] = {host: f'[{host}]'.ljust(width + 2) for host in self.groups}
        self.colours: dict[str, str] = {
            host: COLOURS[at % len(COLOURS)] for at, host in enumerate(self.groups)}

    def tag(self, host: str, stream: str) -> str:
        text = self.tags[host]
        number = 1 if stream == 'stdout' else 2
        return f'\x1b[{self.colours[host]}m{text}\x1b[0m' if is_coloured(number) else text

    def line(self, host: str, stream: str, line: str) -> None:
        """Take a line, which has no end."""
        with self.lock:
            if self.style == 'json':
                print_json(host=host, stream=stream, line=printable(line))
            elif self.style == 'grouped':
                self.groups[host].append((stream, line))
            else:
                self.show(stream, f'{self.tag(host, stream)} {line}\n')

    def end(self, host: str, status: int, error: str = '') -> None:
        """Take the end of what ran on `host`: its exit status, or why there is none."""
        with self.lock:
            if self.style == 'json':
                print_json(host=host, status=status, **({'error': error} if error else {}))
                return
            if self.style == 'grouped':
                state = '' if not status else f'  (status {status})'
                self.show('stdout', f'{self.tag(host, "stdout")}{state}\n')
                for stream, line in self.groups.pop(host):
                    self.show(stream, f'{line}\n')
            if error:
                self.show('stderr', f'{self.tag(host, "stderr")} econtext: {error}\n')

    def show(self, stream: str, text: str) -> None:
        if stream == 'stderr':
            sys.stdout.flush()
        write(stream, text.encode('utf-8', 'surrogateescape'))


def printable(line: str) -> str:
    """Return `line` without surrogates, which JSON in UTF-8 cannot hold."""
    return line.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
