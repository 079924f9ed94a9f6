"""Small programs and modules in the place of what the listings of the docs use and no machine has.

The engines of containers take the command lines that ours are given, and execute the command right here: a container
is nothing but a name that they know.  What they are in truth is held by `tests/connectors`.

Invariants:
* An option that they do not know, and a container that they do not have, is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

ENGINE = """\
#!{python}
import os, sys

FLAGS = '-i', '--rm', '--'
VALUES = '--network', '--memory', '--user', '--namespace', '--container'
THERE = {there!r}

words, given, verb = sys.argv[1:], [], ''
while words and not (verb and given):
    word = words.pop(0)
    name, _, value = word.partition('=')
    if name in VALUES:
        value or words.pop(0)
    elif word in ('exec', 'run') and not verb:
        verb = word
    elif word[:1] != '-':
        given.append(word)
    elif word not in FLAGS:
        sys.exit('unknown flag: ' + word)
while words[:1] == ['--']:
    words.pop(0)
if verb == 'exec' and given[0] not in THERE:
    sys.exit('Error response from daemon: No such container: ' + given[0])
os.execvp(words[0], words)
"""
# (program, the containers that it has)
ENGINES = (('docker', ['web']), ('podman', ['box']), ('kubectl', ['deployment/web']))
# Python imports it at its start.
SITE = """\
import getpass


def answer(prompt='Password: ', stream=None):
    return 'the password of nobody'


getpass.getpass = answer
"""


def write(folder: Path) -> None:
    """Write the programs and modules into `folder`, which is to be on PATH and among Python's."""
    for name, there in ENGINES:
        program = folder / name
        program.write_text(ENGINE.format(python=sys.executable, there=there))
        program.chmod(0o755)
    (folder / 'sitecustomize.py').write_text(SITE)
