"""
Defer what Ansible does in its temporary folders until the next trip to the host.

To copy a file, Ansible asks for the home folder, makes a temporary folder, writes a file there, makes that accessible,
runs a module, and removes the folder: each by a command of its own, with an answer that is known before.  Such a
command is answered at once, and becomes a step.  The steps go with the next module.

Invariants:

* Steps are carried out in their order, before whatever else the same worker asks for, and at last when it leaves: the
  host comes to be as if each had been a command.  A folder that is removed before a step of it has gone is not made.
* A line is a step only if it is, sign by sign, what Ansible's shell plugin makes of paths that a shell takes as they
  are.
* A folder is made by a step only where Ansible's own command has made one in the same folder before, and by the same
  context.  All other steps are within such a folder.  A home folder is answered only as it was answered before, and a
  step sees that this is still right.
* Each step keeps its request: a step that fails is done by that, in the words that people know.

Pure.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import Any, NamedTuple

from econtext.ansible import wire
from econtext.ansible.commands import SLEEP

MOST = 1 << 18      # bytes of a file that waits; a larger one goes by itself, as a stream
PATH = r'/[A-Za-z0-9_./@%+:,=-]*'
NAME = r'ansible-tmp-[0-9.]+-[0-9]+-[0-9]+'
HOME = re.compile(r'echo ~([A-Za-z_][A-Za-z0-9_.-]*)?')
FOLDER = re.compile(
    rf'\( umask 77 && mkdir -p "` echo (?P<parent>{PATH}) `"&& mkdir "` echo (?P<path>(?P=parent)/(?P<name>{NAME})) `" '
    r'&& echo (?P=name)="` echo (?P=path) `" \)')
MODE = re.compile(r'chmod u\+([rwx]+) (.*)')
REMOVE = re.compile(rf'rm -f -r (?P<path>{PATH}/{NAME})/? > /dev/null 2>&1')
WRONG = {
    'home': 'cannot find the home folder', 'folder': 'cannot make the temporary folder',
    'write': 'cannot write into the temporary folder', 'mode': 'cannot change the modes of what is in',
    'remove': 'cannot remove the temporary folder'}
BITS = {'r': 0o400, 'w': 0o200, 'x': 0o100}


class Step(NamedTuple):
    """What is done in place of a request."""

    #: As `econtext.child.temporary` takes it.
    what: tuple[Any, ...]
    #: The temporary folder, empty for a step that is about none.
    folder: str
    request: dict[str, Any]
    output: bytes = b''


class StepError(Exception):
    """Neither a step nor the command that it stands for could do it; `kind` is that of the answer."""

    def __init__(self, step: Step, status: int, output: bytes, errors: bytes) -> None:
        said = (errors or output).decode('utf-8', 'replace').strip() or f'status {status}'
        super().__init__(' '.join(filter(None, (WRONG[step.what[0]], step.folder))) + ': ' + said)
        # As Ansible has a host that cannot make temporary folders.
        self.kind = wire.LOST if step.what[0] == 'folder' else wire.FAILED


class Known:
    """What is known of a place from Ansible's own commands."""

    def __init__(self) -> None:
        #: The answers of those that ask for home folders, by user.
        self.homes: dict[str, bytes] = {}
        #: Where temporary folders could be made.
        self.parents: set[str] = set()

    def learn(self, request: dict[str, Any], done: tuple[int, bytes, bytes]) -> str:
        """Note what a command has shown; return the temporary folder that it has made, if it has made one."""
        line = line_of(request)
        status, output, _ = done
        if home := HOME.fullmatch(line):
            self.homes.pop(home[1] or '', None)
            if status == 0 and plain_home(output):
                self.homes[home[1] or ''] = output
        elif made := FOLDER.fullmatch(line):
            if status == 0:
                self.parents.add(made['parent'])
                return made['path']
            self.parents.discard(made['parent'])
        return ''


class Deferred:
    """The steps that a worker has to its credit, and the temporary folders that it has made."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        #: The place where they are to be carried out.
        self.place: Any = None
        self.folders: set[str] = set()

    def step(self, request: dict[str, Any], known: Known) -> Step | None:
        """Return the step for a request; None for one that has to be carried out."""
        if request['what'] == 'put':
            return self._write(request)
        line = line_of(request)
        if home := HOME.fullmatch(line):
            user = home[1] or ''
            if user not in known.homes:
                return None
            output = known.homes[user]
            return Step(('home', user, output.decode()[:-1]), '', request, output)
        if made := FOLDER.fullmatch(line):
            if made['parent'] not in known.parents:
                return None
            path = made['path']
            return Step(('folder', path), path, request, f'{made["name"]}={path}\n'.encode())
        if changed := MODE.fullmatch(line):
            return self._mode(request, *changed.groups())
        if (gone := REMOVE.fullmatch(line)) and gone['path'] in self.folders:
            return Step(('remove', gone['path']), gone['path'], request)
        return None

    def _write(self, request: dict[str, Any]) -> Step | None:
        path = request['target']
        folder = os.path.dirname(path)
        if folder not in self.folders or request.get('payload'):
            return None
        with open(request['source'], 'rb') as source:
            data = source.read(MOST + 1)
        return None if len(data) > MOST else Step(('write', path, data), folder, request)

    def _mode(self, request: dict[str, Any], letters: str, rest: str) -> Step | None:
        try:
            paths = shlex.split(rest)
        except ValueError:
            return None
        folders = {self._folder_of(path) for path in paths}
        if len(folders) != 1 or '' in folders or shlex.join(paths) != rest:
            return None
        bits = 0
        for letter in letters:
            bits |= BITS[letter]
        return Step(('mode', bits, *paths), folders.pop(), request)

    def _folder_of(self, path: str) -> str:
        """Return the temporary folder that a path is, or in which it lies; empty if there is none."""
        path = path.rstrip('/')
        for folder in path, os.path.dirname(path):
            if folder in self.folders:
                return folder
        return ''

    def add(self, step: Step, place: Any) -> None:
        """Have a step wait."""
        self.place = place
        kind, folder = step.what[0], step.folder
        if kind == 'folder':
            self.folders.add(folder)
        elif kind == 'remove':
            self.folders.discard(folder)
            waiting = [each for each in self.steps if each.folder != folder]
            if any(each.what == ('folder', folder) for each in self.steps):
                # Nobody has seen the folder.
                self.steps = waiting
                return
        self.steps.append(step)

    def made(self, folder: str) -> None:
        """Note that a command has made a temporary folder."""
        self.folders.add(folder)

    def take(self) -> list[Step]:
        """Return the steps, which wait no longer."""
        steps, self.steps = self.steps, []
        return steps

    @property
    def size(self) -> int:
        """How many bytes of files wait."""
        return sum(len(each.what[2]) for each in self.steps if each.what[0] == 'write')

    @property
    def matters(self) -> bool:
        """Does something wait that changes the host?"""
        return any(each.what[0] != 'home' for each in self.steps)


def line_of(request: dict[str, Any]) -> str:
    """Return the line that a shell reads for a request; empty if something else belongs to it."""
    if request['what'] != 'command' or request['input'] or request['words'][1:2] != ['-c']:
        return ''
    line: str = request['words'][2]
    return line.removesuffix(SLEEP)


def is_own(request: dict[str, Any]) -> bool:
    """Is the request one of Ansible's own lines about home and temporary folders?"""
    line = line_of(request)
    return any(each.fullmatch(line) for each in (HOME, FOLDER, MODE, REMOVE))


def plain_home(output: bytes) -> bool:
    """Is the output of `echo ~` one path, and nothing else?"""
    try:
        text = output.decode()
    except UnicodeDecodeError:
        return False
    return text.startswith('/') and text.endswith('\n') and text.count('\n') == 1
