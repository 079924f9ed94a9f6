"""Editors and dir() show what a program may use: jedi, on which IPython and others rest, and Python itself."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future as StandardFuture
from pathlib import Path
from typing import Any

import pytest

import econtext
from econtext.controller.connect import registry

SRC = Path(__file__).parents[2] / 'src'
PROGRAM = '''
import econtext
broker = econtext.Broker()
context = broker.ssh('web1')
channel = context.channel()
future = context.submit(int)
lines = context.run_lines(['true'])
done = context.run(['true'])
'''
# The rings, and the modules behind the entry points of the package: files that have no underscore.
PARTS = {'connectors', 'controller', 'child', 'core', 'parent', 'cli', 'filesystem', 'ways'}
STARTS = {*registry.ours(), 'connect', 'allow'}
PUBLIC: dict[str, set[str]] = {
    'econtext': set(econtext.__all__),
    'broker': {*STARTS, 'close', 'fleet', 'listen'},
    'context': {
        *STARTS, 'call', 'channel', 'close', 'map', 'options', 'shutdown', 'stream', 'submit', 'wait_ready',
        'get', 'open', 'path', 'put', 'run', 'run_lines', 'executable', 'name', 'pid', 'python_version', 'via',
    },
    'channel': {'send', 'get', 'open', 'keep', 'close', 'context'},
    'future': {name for name in dir(StandardFuture) if name[:1] != '_'} | {'interrupt'},
    'lines': {'close', 'result'},
    'done': {'args', 'check_returncode', 'returncode', 'stderr', 'stdout'},
}


def shown(names: Any) -> set[str]:
    """Return those of `names` that do not begin with an underscore."""
    return {name for name in names if not name.startswith('_')}


@pytest.fixture
def objects(broker: econtext.Broker) -> Iterator[dict[str, Any]]:
    context = broker.local()
    channel, future = context.channel(), context.submit(int)
    future.result()
    yield {'econtext': econtext, 'broker': broker, 'context': context, 'channel': channel, 'future': future}
    channel.close()


def test_dir_shows_what_is_public(objects: dict[str, Any]) -> None:
    assert {name: shown(dir(value)) for name, value in objects.items()} == {name: PUBLIC[name] for name in objects}


# In a process of its own, for jedi keeps one beside it.
ASK = f'''
import json, sys, jedi
from jedi.api.environment import InterpreterEnvironment
sys.path.insert(0, {str(SRC)!r})
program, found = {PROGRAM!r}, {{}}
for name in {sorted(PUBLIC)!r}:
    script = jedi.Script(program + name + '.', environment=InterpreterEnvironment())
    found[name] = [each.name for each in script.complete()]
print(json.dumps(found))
'''


@pytest.mark.deadline(240)
def test_jedi_shows_what_is_public(tmp_path: Path) -> None:
    if importlib.util.find_spec('jedi') is None:
        assert not os.environ.get('CI'), 'jedi is not installed'
        pytest.skip('jedi is not installed')
    environment = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path)}
    done = subprocess.run([sys.executable, '-c', ASK], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = {name: shown(names) for name, names in json.loads(done.stdout).items()}
    for name, public in PUBLIC.items():
        assert public - found[name] == set(), name
        assert found[name] - public - (PARTS if name == 'econtext' else set()) == set(), name
