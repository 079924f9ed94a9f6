"""
Payloads of Ansible made older: a current ansible-core's modules for a target whose Python it no longer supports.

RHEL 8 has Python 3.6, which ansible-core left behind with 2.17.  What its modules use of later Pythons is mostly
grammar, and a little of the standard library; `lowering` has the table.  The sources of a payload are known on the
controller, so they are made older there, and kept by their content.

Invariants:

* A source without anything that is newer than the target comes back as it is, to the byte.
* What comes back can be compiled by the target and does what the source does; or TooNew names module and construct.
* A payload keeps its members, their order and their names, and gets those of `older` if a source needs them.

* What a store keeps is found by the content of the source, its name, the target, this code and the Python that writes;
  an entry that is damaged, or that belongs under another name, is made again.

Only a store, and the files of `older`, are read and written; any thread may enter.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import io
import os
import platform
import re
import tokenize
import zipfile
from collections.abc import Mapping

from econtext.ansible import payload_entries
from econtext.ansible.lowering import OLDER, Lowering, Newer
from econtext.ansible.payload_cache import Store
from econtext.ansible.payload_entries import digest
from econtext.controller.errors import EcontextError
from econtext.controller.modules import parser

OLDEST = (3, 6)
NEWEST = (3, 8)     # ansible-core 2.20 and later support 3.9, and 2.18 3.8
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'older')
PLACE = OLDER.replace('.', '/')
DEBUGGED = re.compile(r'=\s*[}!:]')
# What stands in place of a source that cannot be made older: the module can do without it, or fails and says why.
REFUSAL = 'raise SyntaxError(%r)\n'
# A function of ansible-core's own dataclasses that writes checks of types, which Python 3.6 cannot evaluate; nothing
# but the checks depends on it.
UNCHECKED = {'ansible/module_utils/_internal/_dataclass_validation.py': 'inject_post_init_validation'}


class TooNew(EcontextError):
    """
    A module of Ansible cannot be made old enough for the Python of a target.

    The message names the module, the construct and the line, and what to do.
    """


def downlevel(source: str, target: tuple[int, int] = OLDEST, name: str = 'the source') -> str:
    """
    Return a source that does on an older Python what this one does on a newer one.

    :param source: a module.
    :param target: the version of Python to run on, from (3, 6).
    :param name: for errors, the module's name.

    Raises TooNew if the source uses what cannot be made older, ValueError if there is no such target.

    >>> downlevel('if (n := len(x)) > 1:\\n    print(n)')
    'n = len(x)\\nif n > 1:\\n    print(n)\\n'
    """
    if target < OLDEST:
        raise ValueError('Python 3.6 is the oldest that a source can be made for')
    if target > NEWEST:
        return source
    return remembered(source, target, name)


def lowered(source: str, target: tuple[int, int], name: str) -> str:
    tree = parser.parse(source)
    if tree is None:
        raise TooNew(f'{name} cannot be parsed: correct the source')
    try:
        lowering = Lowering(source, tree, target, strings=has_new_strings(source, tree))
        made = lowering.lower()
        if lowering.changed and not lowering.strings:
            # All f-strings go: `unparse` of a newer Python writes what an older one cannot read.
            again = parser.parse(source)
            assert again is not None, 'it was parsed before'
            made = Lowering(source, again, target, strings=True).lower()
    except Newer as error:
        raise TooNew(
            f'{name} cannot be made to run on Python {target[0]}.{target[1]}: {error}. Use a newer Python on the '
            'target, or an older release of the module') from error
    if not lowering.changed:
        return source
    if name in UNCHECKED:
        empty(made, UNCHECKED[name])
    return ast.unparse(ast.fix_missing_locations(made)) + '\n'


@functools.lru_cache(maxsize=1024)
def remembered(source: str, target: tuple[int, int], name: str) -> str:
    return lowered(source, target, name)


def downlevel_payload(payload: bytes, target: tuple[int, int] = OLDEST, store: Store | None = None) -> bytes:
    """
    Return the zip of a payload with all its sources made older.

    :param payload: the zip.
    :param target: the version of Python to run on, from (3, 6).
    :param store: a folder for what was made, by the sources' content, for other processes and later runs; it must not
        be the folder of the payload cache, whose limits are for payloads.

    Raises TooNew if a source uses what cannot be made older.
    """
    with zipfile.ZipFile(io.BytesIO(payload)) as reading:
        infos = {info.filename: info for info in reading.infolist()}
        members = {name: reading.read(info) for name, info in infos.items()}
    older, refused = downlevel_members(members, target, store)
    for reason in refused.values():
        raise TooNew(reason)
    made = io.BytesIO()
    first = next(iter(infos.values()), None)
    with zipfile.ZipFile(made, 'w') as writing:
        for name, content in older.items():
            found = infos.get(name)
            if found is None:
                assert first is not None, 'nothing is needed by nothing'
                found = zipfile.ZipInfo(name, first.date_time)
                found.compress_type = first.compress_type
            writing.writestr(found, content, found.compress_type)
    return made.getvalue()


def downlevel_members(
    members: Mapping[str, bytes], target: tuple[int, int] = OLDEST, store: Store | None = None,
) -> tuple[dict[str, bytes], dict[str, str]]:
    """
    Return the files of a payload made older, and why some of them could not be made so.

    :param members: name -> content.
    :param target: the version of Python to run on, from (3, 6).
    :param store: as for `downlevel_payload`.

    In place of a source that cannot be made older stands one that raises SyntaxError with the reason, as the target
    itself would: many sources of a payload are used by a few of its tasks alone.
    """
    made: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    for name, content in members.items():
        made[name] = content
        if name.endswith('.py') and content:
            try:
                made[name] = kept_member(content, target, name, store)
            except TooNew as error:
                refused[name] = str(error)
                made[name] = (REFUSAL % ascii_of(str(error))).encode('ascii')
    if any(b'econtext_older' in content for name, content in made.items() if name.endswith('.py')):
        made.update(older_members())
    return made, refused


def ascii_of(text: str) -> str:
    return text.encode('ascii', 'backslashreplace').decode('ascii')


def kept_member(content: bytes, target: tuple[int, int], name: str, store: Store | None) -> bytes:
    """Return a member of a payload made older: from the store, if there is one that has it."""
    if store is None or target > NEWEST:
        return lowered_member(content, target, name)
    key = digest(makers(), bytes(target), name.encode('utf-8', 'surrogatepass'), content)
    found = store.get(key)
    if found is not None:
        try:
            header, kept = payload_entries.unpack(found)
            if header == entry_header(name, key):
                return kept
        except payload_entries.Damaged:
            pass
        store.drop(key)
    made = lowered_member(content, target, name)
    try:
        store.put(key, payload_entries.pack(entry_header(name, key), made))
    except OSError:
        pass    # it is made again next time
    return made


def entry_header(name: str, key: str) -> payload_entries.Header:
    return payload_entries.Header(name, (), (), key)


@functools.cache
def makers() -> bytes:
    """Return a digest of all that decides how a source is made older: this code, and the Python that writes it."""
    folder = os.path.dirname(FOLDER)
    parts = [platform.python_version().encode()]
    for name in ('downlevel.py', 'lowering.py', 'hoisting.py'):
        with open(os.path.join(folder, name), 'rb') as opened:
            parts.append(opened.read())
    return digest(*parts).encode()


def lowered_member(content: bytes, target: tuple[int, int], name: str) -> bytes:
    try:
        source = importlib.util.decode_source(content)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise TooNew(f'{name} cannot be read: correct its encoding') from error
    made = downlevel(source, target, name)
    return content if made == source else made.encode('utf-8', 'surrogatepass')


@functools.cache
def older_members() -> dict[str, bytes]:
    """Return name -> content of what Python 3.6 lacks, as members of a payload."""
    found = {}
    for name in sorted(os.listdir(FOLDER)):
        if name.endswith('.py'):
            with open(os.path.join(FOLDER, name), 'rb') as opened:
                found[f'{PLACE}/{name}'] = opened.read()
    return found


def has_new_strings(source: str, tree: ast.Module) -> bool:
    """Has a source f-strings of a form that came later: `=`, or what Python 3.12 allows within the braces?"""
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    if not strings:
        return False
    if any(DEBUGGED.search(ast.get_source_segment(source, node) or '') for node in strings):
        return True
    begin, end = (getattr(tokenize, name, None) for name in ('FSTRING_START', 'FSTRING_END'))
    if begin is None:
        return False    # this Python cannot read them either
    quotes: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        inside = token.type in (tokenize.STRING, begin)
        if quotes and ((inside and (quotes[-1] in token.string or '\\' in token.string))
                       or token.type == tokenize.COMMENT or (token.type == tokenize.NL and len(quotes[-1]) == 1)):
            return True
        if token.type == begin:
            quotes.append(token.string.lstrip('rRfFbB'))
        elif token.type == end:
            quotes.pop()
    return False


def empty(tree: ast.Module, function: str) -> None:
    """Leave nothing of a function but that it can be called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            node.body = [ast.Pass()]
