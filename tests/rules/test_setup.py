"""What a program loads before it starts its first context: each module here was loaded by all, and used by few."""

from __future__ import annotations

import subprocess
import sys

#: The modules that are not to be loaded yet, and what needs them.
LATER = {
    'contextvars': 'a notebook',
    'econtext.controller.notebook': 'a notebook',
    'fnmatch': 'patterns of modules that may be sent',
    'econtext.controller.modules.resources': 'data files of packages, lists, metadata',
    'econtext.controller.modules.packer': 'a checkout, which has no ready-made preamble',
    'econtext.controller.session.forks': 'isolated calls',
    'econtext.controller.session.selection': 'select()',
    'econtext.controller.session.streams': 'stream()',
    'econtext.child.awaiting': 'coroutine functions',
    'econtext.child.rich': 'values that are not plain',
    'econtext.child.named': 'values of registered classes',
    'getpass': 'a program whose environment names no user',
    'shlex': 'a failure that tells the command to run by hand',
    'pkgutil': 'an installation in an archive',
    'sysconfig': 'a module of the program that is to be sent',
    'asyncio': 'econtext.aio',
    'subprocess': 'nothing of econtext',
}
# As typing does for each annotation that is a text, which takes a millisecond for the first.
PROGRAM = '''
import sys
compiled = []

def note(event, details):
    if event == "compile" and sys._getframe(1).f_code.co_filename.endswith("typing.py"):
        compiled.append(details[0])

sys.addaudithook(note)
import econtext
from econtext.controller.modules import built
built.preamble = lambda order: b""
with econtext.Broker():
    print(*compiled, sep="|")
    print(*sys.modules)
'''


def test_a_broker_loads_what_it_uses_and_compiles_no_annotation() -> None:
    answer = subprocess.run([sys.executable, '-S', '-c', PROGRAM], env={
        'PYTHONPATH': ':'.join(sys.path), 'LOGNAME': 'me'}, check=True, stdout=subprocess.PIPE, text=True).stdout
    compiled, loaded = answer.splitlines()
    assert not compiled
    assert {name: use for name, use in LATER.items() if name in loaded.split()} == {}
