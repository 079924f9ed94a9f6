"""
Hosts by patterns, from the user's ssh configuration.

Only what names hosts is read here: ``Host`` lines and ``Include``.  What an ssh client would do with a
host is left to that client, which reads the same file.

Invariants:

* A name is one that a ``Host`` line has without ``*``, ``?`` and ``!``, in the file's order, once.
* Files are included as ssh does: patterns, relative to ``~/.ssh``, sixteen levels deep at most; a
  file that is not there names nobody.

Any thread may enter.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable, Iterator

from econtext.controller.fleet.hosts import Host

Read = Callable[[str], str | None]
Expand = Callable[[str], list[str]]
DEEPEST = 16    # levels of Include, as ssh has it
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:[^\s"\\]|\\.)+)')
LINE = re.compile(r'\s*(\w+)(?:\s*=\s*|\s+)(.*)')


def is_pattern(text: str) -> bool:
    return '*' in text or '?' in text


def words(text: str) -> list[str]:
    """Split the arguments of a line: at blanks, but for what is quoted; ``#`` begins a comment."""
    found = []
    for match in WORD.finditer(text):
        word = match[1] if match[1] is not None else match[2]
        if match[1] is None and word.startswith('#'):
            break
        found.append(re.sub(r'\\(["\\ ])', r'\1', word))
    return found


def names(text: str, read: Read, expand: Expand, depth: int = 0) -> Iterator[str]:
    """Yield the names of hosts that a configuration has, those that it includes among them."""
    for line in text.splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        keyword, arguments = match[1].lower(), words(match[2])
        if keyword == 'host':
            yield from (word for word in arguments if not (is_pattern(word) or word.startswith('!')))
        elif keyword == 'include' and depth < DEEPEST:
            for pattern in arguments:
                for path in expand(pattern):
                    included = read(path)
                    if included is not None:
                        yield from names(included, read, expand, depth + 1)


def select(found: list[str], patterns: list[str]) -> list[str]:
    """Return those of `found` that a pattern matches, and none that begins with ``!`` does, each once."""
    wanted = [pattern for pattern in patterns if not pattern.startswith('!')]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith('!')]
    return [
        name for name in dict.fromkeys(found)
        if any(matches(name, pattern) for pattern in wanted) and not any(matches(name, pattern) for pattern in unwanted)
    ]


def matches(name: str, pattern: str) -> bool:
    """As ssh has it: ``*`` and ``?`` only, and in lower case."""
    return fnmatch.fnmatchcase(name.lower(), pattern.lower().replace('[', '[[]'))


def ssh_config(*patterns: str, config: str | os.PathLike[str] | None = None) -> list[Host]:
    """
    Return the hosts of the ssh configuration whose names match one of `patterns`.

    A pattern has ``*`` and ``?`` as in that file; those of one that begins with ``!`` are left out.
    `config` is the path of another file than ``~/.ssh/config``; the hosts are then started with it.

    Raises ValueError if none matches, OSError if `config` cannot be read.

    Example::

        with econtext.Broker() as broker:
            fleet = broker.fleet(econtext.inventory.ssh_config('web*', '!web-old'))
    """
    folder = os.path.join(os.path.expanduser('~'), '.ssh')
    path = os.path.join(folder, 'config') if config is None else os.fspath(config)

    def expand(pattern: str) -> list[str]:
        return sorted(glob.glob(os.path.join(folder, os.path.expanduser(pattern))))

    text = read_text(path) if config is None else open_text(path)
    selected = select(list(names(text or '', read_text, expand)), list(patterns))
    if not selected:
        raise ValueError(f'no host of {path} matches {" ".join(patterns)}: only names of its Host lines count')
    options = {} if config is None else {'ssh_args': ['-F', path]}
    return [Host(name, options) for name in selected]


def open_text(path: str) -> str:
    with open(path, encoding='utf-8', errors='surrogateescape') as file:
        return file.read()


def read_text(path: str) -> str | None:
    try:
        return open_text(path)
    except OSError:
        return None
