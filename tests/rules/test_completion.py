"""Editors and dir() show what a program may use: jedi, on which IPython and others rest, and Python itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future as StandardFuture
from pathlib import Path
from typing import Any

import pytest

import econtext
import lab
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
options = context.options(timeout=5)
stream = context.stream(list)
path = context.path('/etc')
copied = context.put(b'', '/dev/null')
fleet = broker.fleet(['web1'])
host = fleet.hosts[0]
results = fleet.call(int)
futures = fleet.submit(int)
host_future = futures['web1']
fleet_stream = fleet.stream(list)
executor = fleet.executor()
attachment = econtext.attach('/run/socket')
'''
# The rings, the modules behind the entry points of the package, those behind extras: files that have no underscore.
PARTS = {
    'ansible', 'connectors', 'controller', 'child', 'core', 'parent', 'cli', 'command_line', 'dask', 'filesystem',
    'joblib', 'pyinfra',
}
STARTS = {*registry.ours(), 'connect', 'allow'}
FUTURE = {name for name in dir(StandardFuture) if name[:1] != '_'}
PATH = {
    'absolute', 'anchor', 'as_posix', 'chmod', 'context', 'drive', 'exists', 'expanduser', 'glob', 'group',
    'hardlink_to', 'is_absolute', 'is_block_device', 'is_char_device', 'is_dir', 'is_fifo', 'is_file',
    'is_relative_to', 'is_socket', 'is_symlink', 'iterdir', 'joinpath', 'lstat', 'match', 'mkdir', 'name', 'open',
    'owner', 'parent', 'parents', 'parts', 'read_bytes', 'read_text', 'readlink', 'relative_to', 'rename',
    'replace', 'resolve', 'rglob', 'rmdir', 'rmtree', 'root', 'samefile', 'stat', 'stem', 'suffix', 'suffixes',
    'symlink_to', 'touch', 'unlink', 'walk', 'with_name', 'with_stem', 'with_suffix', 'write_bytes', 'write_text',
}  # fmt: skip
PUBLIC: dict[str, set[str]] = {
    'econtext': set(econtext.__all__),
    'broker': {*STARTS, 'close', 'fleet', 'listen'},
    'context': {
        *STARTS, 'call', 'channel', 'close', 'map', 'options', 'shutdown', 'stream', 'submit', 'wait_ready',
        'get', 'open', 'path', 'put', 'run', 'run_lines', 'executable', 'name', 'pid', 'python_version',
        'same_interpreter', 'via',
    },
    'channel': {'send', 'get', 'open', 'keep', 'close', 'context'},
    'future': FUTURE | {'interrupt'},
    'lines': {'close', 'result'},
    'options': {'call', 'stream', 'submit'},
    'stream': {'close'},
    'path': PATH,
    'copied': {'bytes', 'checksum', 'deleted', 'files', 'left_out', 'path', 'unchanged'},
    'fleet': {
        *STARTS - {'allow'}, 'call', 'close', 'connect_all', 'context', 'count', 'executor', 'filter', 'get', 'hosts',
        'index', 'map', 'options', 'put', 'run', 'shutdown', 'stream', 'submit',
    },
    'host': {'connector', 'groups', 'matches', 'name', 'options', 'variables'},
    'results': {'failures', 'get', 'hosts', 'items', 'keys', 'raise_for_failures', 'skipped', 'successes', 'values'},
    'futures': {'as_completed', 'get', 'interrupt', 'items', 'keys', 'results', 'values'},
    'host_future': FUTURE | {'host', 'interrupt'},
    'fleet_stream': {'close', 'failures'},
    'executor': {'map', 'shutdown', 'submit'},
    'attachment': {*STARTS - {'allow'}, 'call', 'close', 'context', 'contexts', 'fleet', 'path'},
    'done': {'args', 'check_returncode', 'returncode', 'stderr', 'stdout'},
}


def shown(names: Any) -> set[str]:
    """Return those of `names` that do not begin with an underscore."""
    return {name for name in names if not name.startswith('_')}


@pytest.fixture
def objects(broker: econtext.Broker, tmp_path: Path) -> Iterator[dict[str, Any]]:
    context = broker.local()
    channel, future = context.channel(), context.submit(int)
    future.result()
    fleet = broker.fleet(['a'], connector=lambda broker, host: broker.local())
    # In this order: a stream that nobody reads keeps its host.
    results, futures = fleet.call(int), fleet.submit(int)
    stream, fleet_stream = context.stream(list), fleet.stream(list)
    with econtext.attach(broker.listen()) as attachment, fleet.executor() as executor:
        yield {
            'econtext': econtext, 'broker': broker, 'context': context, 'channel': channel, 'future': future,
            'lines': context.run_lines(['true']), 'done': context.run(['true']), 'options': context.options(timeout=5),
            'stream': stream, 'path': context.path('/etc'), 'copied': context.put(b'', tmp_path / 'file'),
            'fleet': fleet, 'host': fleet.hosts[0], 'results': results, 'futures': futures,
            'host_future': futures['a'], 'fleet_stream': fleet_stream, 'executor': executor, 'attachment': attachment,
        }  # fmt: skip
    futures.results()
    for each in channel, stream, fleet_stream:
        each.close()


def test_dir_shows_what_is_public(objects: dict[str, Any]) -> None:
    assert set(objects) == set(PUBLIC)
    for name, value in objects.items():
        assert sorted(shown(dir(value)) ^ PUBLIC[name]) == [], name


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
    lab.require_modules('jedi')
    environment = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path)}
    done = subprocess.run([sys.executable, '-c', ASK], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = {name: shown(names) for name, names in json.loads(done.stdout).items()}
    for name, public in PUBLIC.items():
        assert public - found[name] == set(), name
        assert found[name] - public - (PARTS if name == 'econtext' else set()) == set(), name


# IPython completes names of what is there: those that dir() shows, and with jedi what jedi makes of the objects.
TYPE = f'''
import json, sys
sys.path.insert(0, {str(SRC)!r})
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
shell, found = InteractiveShell.instance(), {{{{}}}}
assert shell.run_cell({{program!r}}).success
for jedi in False, True:
    shell.Completer.use_jedi = jedi
    for name in {{names!r}}:
        text = name + '.'
        with provisionalcompleter():
            names = [each.text for each in shell.Completer.completions(text, len(text))]
        found[name + ' jedi' * jedi] = [each.rpartition('.')[2] for each in names]
shell.run_cell('fleet.close(); attachment.close(); broker.close()')
print(json.dumps(found))
'''
TYPED = '''
import econtext
broker = econtext.Broker()
context = broker.local()
channel, future, options = context.channel(), context.submit(int), context.options(timeout=5)
stream, path = context.stream(list), context.path('/etc')
fleet = broker.fleet(['web1'], connector=lambda broker, host: broker.local())
host, results, futures = fleet.hosts[0], fleet.call(int), fleet.submit(int)
attachment = econtext.attach(broker.listen())
'''


@pytest.mark.deadline(240)
def test_ipython_shows_what_is_public(tmp_path: Path) -> None:
    lab.require_modules('IPython')
    names = sorted(name for name in PUBLIC if re.search(rf'\b{name}\b', TYPED))
    assert len(names) > 10
    environment = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path), 'IPYTHONDIR': str(tmp_path), 'HOME': str(tmp_path)}
    done = subprocess.run(
        [sys.executable, '-c', TYPE.format(program=TYPED, names=names)], env=environment, stdout=subprocess.PIPE,
        text=True, check=True)
    for name, found in json.loads(done.stdout.splitlines()[-1]).items():
        public = PUBLIC[name.partition(' ')[0]]
        assert sorted(shown(found) ^ public) == [], name
