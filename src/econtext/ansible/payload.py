"""
Recognize a module that Ansible has packed: a program that holds a zip archive, and runs one module of it.

Two forms are known: the call of one function with literal arguments (ansible-core 2.19 to 2.21), and a program with the
archive in the middle (2.18).

Invariants:

* Each part must be exactly what the known forms have: the names of the arguments, their types, no more of them, nothing
  behind them.  All else is no packed module, and runs as the program that it is.
* What asks for more than to run the module, such as a debugger or a report of coverage, is not recognized either.
* Nothing of a payload is executed here.

Pure; any thread may enter.
"""

from __future__ import annotations

import ast
import re
from typing import Any, NamedTuple

CALL = b'\n\nif __name__ == "__main__":\n    _ansiballz_main(\n'
# Of the arguments of that call: all of them, and the type of each; the date is not looked at.
ARGUMENTS: dict[str, type | None] = {
    'zip_data': str, 'ansible_module': str, 'module_fqn': str, 'params': str, 'profile': str, 'date_time': None,
    'extensions': dict, 'rlimit_nofile': int,
}

# The archive in that call, in a line of its own: nearly all of the text, which is not to be read as Python is.
ZIP = re.compile(rb"^zip_data='([A-Za-z0-9+/]+={0,2})',$", re.MULTILINE)

OLD_END = b"\nif __name__ == '__main__':\n    _ansiballz_main()"
OLD_ZIP = re.compile(rb"^    ZIPDATA = '([A-Za-z0-9+/]+={0,2})'$", re.MULTILINE)
OLD_PARAMS = re.compile(rb'^    ANSIBALLZ_PARAMS = (.+)$', re.MULTILINE)
OLD_RUN = re.compile(
    rb"^        runpy\.run_module\(mod_name='([A-Za-z0-9_.]+)', init_globals=dict\(_module_fqn='\1', "
    rb"_modlib_path=modlib_path\),$", re.MULTILINE)
OLD_LIMIT = re.compile(rb'^    requested_soft = min\(existing_hard, (\d+)\)$', re.MULTILINE)

ASSIGNMENT = re.compile(r'[A-Za-z_][A-Za-z0-9_]*=')
SHEBANG = re.compile(rb'#![ \t]*(/[!-~]*)[ \t]*\r?\n')
MODULE_NAME = re.compile(r'\w+(\.\w+)*')
SLEEP = ['&&', 'sleep', '0']    # what releases before 2.21 append to each command


class Payload(NamedTuple):
    """A packed module."""

    #: The archive, in base64, as it came.
    archive: bytes
    #: The dotted name of the module that is run as the program.
    module: str
    #: The arguments of the module, as JSON.
    params: bytes
    #: The form in which the module prints its result; empty for those releases that have one form.
    profile: str
    #: The soft limit of open files, 0 for what is there.
    open_files: int


def recognized(data: bytes) -> Payload | None:
    """Return the packed module that is the program `data`; None for any other program."""
    at = data.rfind(CALL)
    if at >= 0:
        return of_call(data[at + len(CALL):])
    return of_program(data) if data.removesuffix(b'\n').endswith(OLD_END) else None


def of_call(text: bytes) -> Payload | None:
    """Return the packed module of a call's arguments, of which `text` begins with the first one."""
    archive = ZIP.search(text)
    if archive is None:
        return None
    try:
        node = ast.parse(b'f(\n' + text[:archive.start(1)] + b'.' + text[archive.end(1):], mode='eval').body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(node, ast.Call) or node.args or not isinstance(node.func, ast.Name):
        return None
    found: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg in found:
            return None
        kind = ARGUMENTS.get(keyword.arg or '', bool)
        if kind is None:
            found[str(keyword.arg)] = None
            continue
        try:
            value = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return None
        if type(value) is not kind:
            return None
        found[str(keyword.arg)] = value
    if set(found) != set(ARGUMENTS) or found['extensions'] or not found['profile']:
        return None
    return checked(archive[1], found['module_fqn'], found['params'], found['profile'], found['rlimit_nofile'])


def of_program(data: bytes) -> Payload | None:
    """Return the packed module of the program `data`, as ansible-core 2.18 makes it."""
    parts = [pattern.findall(data) for pattern in (OLD_ZIP, OLD_PARAMS, OLD_RUN, OLD_LIMIT)]
    if [len(part) for part in parts[:3]] != [1, 1, 1] or len(parts[3]) > 1 or b'coverage' in outside(data):
        return None
    (archive,), (params,), (module,), limits = parts
    try:
        text = ast.literal_eval(params.decode())
        limit = int(limits[0]) if limits else 0
        return checked(archive, module.decode(), text, '', limit) if type(text) is str else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def outside(data: bytes) -> bytes:
    """Return the program `data` without its archive and the arguments of its module."""
    return OLD_PARAMS.sub(b'', OLD_ZIP.sub(b'', data))


def checked(archive: bytes, module: str, params: str, profile: str, limit: int) -> Payload | None:
    """Return the packed module of these parts; None if one makes no sense."""
    if len(archive) % 4 or not MODULE_NAME.fullmatch(module) or limit < 0:
        return None
    try:
        return Payload(archive, module, params.encode(), profile, limit)
    except ValueError:
        return None


def interpreter_of(words: list[str]) -> tuple[dict[str, str], str] | None:
    """
    Return (variables, interpreter) of the words of a command that feeds a packed module to an interpreter.

    None for any other command, and where the interpreter is no absolute path.
    """
    words = list(words)
    if words[-len(SLEEP):] == SLEEP:
        del words[-len(SLEEP):]
    variables = {}
    while words and ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition('=')
        variables[name] = value
    if len(words) != 1 or not words[0].startswith('/'):
        return None
    return variables, words[0]


def shebang(data: bytes) -> str | None:
    """Return the interpreter that the first line of a program names; None for more than a path."""
    found = SHEBANG.match(data)
    return found[1].decode() if found else None
