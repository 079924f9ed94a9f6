"""
How a place is entered that a program of this machine leads into: a container, a pod, a folder.

What a connection plugin says of a place serves the daemon, which starts a context there, and the worker, which runs
there a command that needs no Python.

Invariants:

* Both use the words that the connector makes of the same options.

Pure; any thread may enter.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
from collections.abc import Mapping
from typing import Any

from econtext.ansible import wire
from econtext.parent import command

# Stands for the interpreter in the words of a connector.
ANYTHING = 'python'
# How the names of files begin that hold what others may not read, in the folder of a run: the daemon removes them.
SECRET = 'econtext.secret.'


def way(connector: str, options: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Return the way into a place, as the daemon takes it, by the options of a connector that are given."""
    given = {name: wire.plain(value) for name, value in options.items() if value not in (None, '', [])}
    return {'connector': connector, 'arguments': [], 'options': {**given, 'connect_timeout': float(seconds)},
            'key': json.dumps([connector, given], sort_keys=True)}


def words(way: Mapping[str, Any], wanted: list[str]) -> list[str]:
    """Return the words that run the command `wanted` there; raise ValueError for options that make no sense."""
    options = {name: value for name, value in way['options'].items() if name != 'connect_timeout'}
    behind = command.argv(command.candidates(ANYTHING))
    if options.get('shell'):
        behind, wanted = [command.line(behind)], [shlex.join(wanted)]
    plan = importlib.import_module('econtext.connectors.' + way['connector']).plan
    argv: list[str] = plan({**options, 'python': ANYTHING})[0]
    assert argv[-len(behind):] == behind, 'a connector ends with the words for the interpreter'
    return argv[:-len(behind)] + wanted


def absolute(path: str) -> str:
    """Return the path of a file there; a relative one begins at the root."""
    return os.path.normpath(os.path.join('/', path))


def write(path: str) -> list[str]:
    """
    Return a line for a shell, and its first argument, that write standard input to a file.

    What cannot be written is read nevertheless: Podman loses the error of a program that ends before its input does.
    """
    return ['umask 077; cat > "$0" || { cat > /dev/null; exit 1; }', wire.plain(path)]


def read(path: str) -> list[str]:
    """Return a line for a shell, and its first argument, that write a file to standard output."""
    return ['cat "$0"', wire.plain(path)]


def environment(variables: Mapping[Any, Any] | None) -> list[str]:
    """
    Return NAME=VALUE of each variable.

    Raise ValueError where a name or a value is no text: YAML makes others of `yes`, `1.10` and the like.
    """
    for name, value in (variables or {}).items():
        for each in name, value:
            if not isinstance(each, str):
                raise ValueError(
                    f'the variable {name} has a name or a value that is no text but a {type(each).__name__}: quote it')
    return [f'{name}={value}' for name, value in (variables or {}).items()]


def before(flag: str, values: list[str]) -> list[str]:
    """Return the values, each behind the flag."""
    return [word for value in values for word in (flag, value)]
