"""Point 5, what goes with modules: files, lists and metadata of packages that were sent, as if in an archive."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import pathlib
import sys
from typing import Any

import pytest

import econtext
from lab.pythons import Interpreter

FILES = {
    'stocked/__init__.py': '', 'stocked/a.txt': 'text of a\n', 'stocked/empty.txt': '',
    'stocked/data/deep.bin': b'\0\xff\r\n',
    'stocked/data/more/x.txt': 'x', 'stocked/sub/__init__.py': '', 'stocked/sub/b.txt': 'b',
    'stocked/one.py': 'X = 1\n',
    'stocked/sub/two.py': 'X = 2\n', 'stocked/utf.txt': '\u2603'.encode(),
}  # fmt: skip
OF_RESOURCES = '''\
    import sys

    def traversed():
        from importlib import resources
        root = resources.files('stocked')
        found = {'names': sorted([entry.name for entry in root.iterdir()]), 'name': root.name}
        found['dirs'] = sorted([entry.name for entry in root.iterdir() if entry.is_dir()])
        found['text'] = root.joinpath('a.txt').read_text()
        found['utf'] = (root / 'utf.txt').read_text(encoding='utf-8')
        found['bytes'] = (root / 'data' / 'deep.bin').read_bytes()
        found['empty'] = (root / 'empty.txt').read_bytes()
        found['sub'] = resources.files('stocked.sub').joinpath('b.txt').open('r').read()
        import stocked.data
        found['folder'] = resources.files(stocked.data).joinpath('more/x.txt').read_text()
        with resources.as_file(root / 'a.txt') as path:
            found['path'] = open(str(path)).read()
        found['there'] = (root / 'a.txt').is_file(), (root / 'a').is_file(), (root / 'data').is_file()
        try:
            (root / 'absent').read_text()
        except FileNotFoundError:
            found['absent'] = True
        try:
            (root / 'one.py').read_text()
        except FileNotFoundError:
            found['code'] = True
        return found

    def names_of():
        from importlib import resources
        return sorted([entry.name for entry in resources.files('stocked').iterdir()])

    def of_a_tree():
        import os
        from importlib import resources
        with resources.as_file(resources.files('stocked')) as path:
            return sorted([name for _, _, names in os.walk(str(path)) for name in names])

    def functions():
        from importlib import resources
        found = {'text': resources.read_text('stocked', 'a.txt'),
                 'binary': resources.read_binary('stocked', 'utf.txt'),
                 'open': resources.open_text('stocked', 'a.txt').read(),
                 'open_binary': resources.open_binary('stocked', 'a.txt').read(),
                 'is': [resources.is_resource('stocked', name) for name in ('a.txt', 'data', 'absent')],
                 'contents': sorted(resources.contents('stocked'))}
        with resources.path('stocked', 'a.txt') as path:
            found['path'] = open(str(path)).read()
        return found
    '''
OF_MODULES = '''\
    import pkgutil, sys
    def listed():
        import stocked, stocked.sub
        direct = [(name, bool(package)) for _, name, package in pkgutil.iter_modules(stocked.__path__)]
        walked = [name for _, name, _ in pkgutil.walk_packages(stocked.__path__, 'stocked.')]
        return sorted(direct), sorted(walked), pkgutil.get_data('stocked', 'a.txt')
    def late():
        import stocked
        before = stocked.__path__
        import pkgutil
        return [name for _, name, _ in pkgutil.iter_modules(before)]
    def absent():
        import stocked
        try:
            import stocked.absent
        except ImportError:
            return True
    def source():
        import inspect, stocked.one
        return inspect.getsource(stocked.one), inspect.getsource(source).split()[1]
    '''


@pytest.fixture
def stocked(program: Any) -> Any:
    return program({**FILES, 'of_resources.py': OF_RESOURCES}, 'of_resources')


@pytest.mark.every_python
def test_files_of_packages(stocked: Any, broker: econtext.Broker, python: Interpreter) -> None:
    context = broker.local(python=python)
    if python.version < (3, 9):
        pytest.skip('it has no importlib.resources.files')
    assert context.call(stocked.traversed) == {
        'names': ['a.txt', 'data', 'empty.txt', 'sub', 'utf.txt'], 'dirs': ['data', 'sub'], 'name': 'stocked',
        'text': 'text of a\n', 'utf': '\u2603', 'bytes': b'\0\xff\r\n', 'sub': 'b', 'folder': 'x',
        'path': 'text of a\n', 'there': (True, False, False), 'absent': True, 'code': True, 'empty': b'',
    }  # fmt: skip
    if python.version >= (3, 12):
        assert context.call(stocked.of_a_tree) == ['a.txt', 'b.txt', 'deep.bin', 'empty.txt', 'utf.txt', 'x.txt']


@pytest.mark.every_python
def test_functions_for_files_of_packages(stocked: Any, broker: econtext.Broker, python: Interpreter) -> None:
    if python.version < (3, 7):
        pytest.skip('it has no importlib.resources')
    found = broker.local(python=python).local().call(stocked.functions)
    assert found == {
        'text': 'text of a\n', 'binary': '\u2603'.encode(), 'open': 'text of a\n', 'open_binary': b'text of a\n',
        'is': [True, False, False], 'contents': ['a.txt', 'data', 'empty.txt', 'sub', 'utf.txt'], 'path': 'text of a\n',
    }  # fmt: skip


@pytest.mark.every_python
def test_modules_of_packages_are_listed(program: Any, broker: econtext.Broker, python: Interpreter) -> None:
    module = program({**FILES, 'of_modules.py': OF_MODULES,
                      'of_late.py': OF_MODULES.replace('    import pkgutil, sys\n', '', 1)}, 'of_modules')  # fmt: skip
    late = importlib.import_module('of_late')
    direct = [('one', False), ('sub', True)]
    expected = direct, ['stocked.one', 'stocked.sub', 'stocked.sub.two'], b'text of a\n'
    assert module.listed() == expected
    for context in (broker.local(python=python), broker.local(python=python).local()):
        assert context.call(module.absent) is True
        found = context.call(module.listed)
        assert (found[0], found[1]) == (expected[0], expected[1])
        assert context.call(module.source) == ('X = 1\n', 'source():')
    assert broker.local(python=python).call(late.late) == ['one', 'sub']


def test_in_a_copy_of_a_context(stocked: Any, program: Any, broker: econtext.Broker) -> None:
    module = program({'of_modules.py': OF_MODULES}, 'of_modules')
    context = broker.local()
    assert context.call(stocked.functions)['text'] == 'text of a\n'
    copy = context.fork()
    assert copy.call(stocked.functions)['text'] == 'text of a\n'
    assert copy.call(module.listed)[0] == [('one', False), ('sub', True)]


def test_what_is_denied_is_in_no_list(stocked: Any) -> None:
    with econtext.Broker(deny_modules=['stocked.sub']) as broker:
        assert broker.local().call(stocked.names_of) == ['a.txt', 'data', 'empty.txt', 'utf.txt']


# -- metadata ------------------------------------------------------------------

DISTRIBUTION = {
    'told/__init__.py': 'X = 1\n', 'told-3.2.1.dist-info/RECORD': 'told/__init__.py,,\nsecret/path.py,,\n',
    'told-3.2.1.dist-info/METADATA': 'Metadata-Version: 2.1\nName: told\nVersion: 3.2.1\nSummary: x\n\nbody\n',
    'told-3.2.1.dist-info/entry_points.txt': '[told.plugins]\none = told:X\n',
    'told-3.2.1.dist-info/direct_url.json': '{"url": "https://user:password@host/"}',
    'kept/__init__.py': '', 'kept-1.dist-info/RECORD': 'kept/__init__.py,,\n',
    'kept-1.dist-info/METADATA': 'Metadata-Version: 2.1\nName: kept\nVersion: 1\n\n',
}  # fmt: skip
OF_METADATA = '''\
    def told():
        from importlib import metadata
        import told
        distribution = metadata.distribution('told')
        points = metadata.entry_points()
        if hasattr(points, 'select'):
            points = points.select(group='told.plugins')
        else:
            points = points['told.plugins']
        return (metadata.version('told'), distribution.metadata['Summary'], [point.name for point in points],
                [point.load() for point in points], distribution.read_text('RECORD'),
                distribution.read_text('direct_url.json'))
    def version(name):
        from importlib import metadata
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None
    '''


@pytest.fixture
def of_metadata(program: Any) -> Any:
    program(DISTRIBUTION, place='lib/site-packages')
    return program({'of_metadata.py': OF_METADATA}, 'of_metadata')


@pytest.mark.every_python
def test_metadata_of_distributions(of_metadata: Any, broker: econtext.Broker, python: Interpreter) -> None:
    if python.version < (3, 8):
        pytest.skip('it has no importlib.metadata')
    context = broker.local(python=python)
    assert context.call(of_metadata.told) == ('3.2.1', 'x', ['one'], [1], None, None)
    assert context.call(of_metadata.version, 'kept') == '1'
    for name in 'no-such-distribution-anywhere', '../told', '*':
        assert context.call(of_metadata.version, name) is None


def test_metadata_of_what_is_denied_stays_here(of_metadata: Any) -> None:
    with econtext.Broker(deny_modules=['kept']) as broker:
        context = broker.local()
        assert context.call(of_metadata.version, 'kept') is None
        assert context.call(of_metadata.version, 'told') == '3.2.1'
    with econtext.Broker(allow_modules=['of_metadata']) as broker:
        assert broker.local().call(of_metadata.version, 'told') is None


def test_what_is_installed_there_says_so_itself(of_metadata: Any, broker: econtext.Broker, python: Interpreter) -> None:
    if python.version < (3, 8):
        pytest.skip('it has no importlib.metadata')
    here = importlib.metadata.version('pip')
    assert broker.local(python=python).call(of_metadata.version, 'pip') is not None
    assert here


# -- what real packages do -------------------------------------------------------

REAL = '''\
    def bundle():
        import pip._vendor.certifi as certifi
        return certifi.where(), len(certifi.contents()), open(certifi.where()).read(27)
    def agent():
        import pip._vendor.requests as requests
        return requests.Session().headers['User-Agent'][:16]
    '''


def test_requests_and_certifi(program: Any, python: Interpreter) -> None:
    """pip has them, by names of its own."""
    if python.version < (3, 10):
        pytest.skip('pip of today is for newer ones')
    module = program({'real.py': REAL}, 'real')
    with econtext.Broker(forward=['pip']) as broker:
        context = broker.local(python=python)
        where, size, _head = context.call(module.bundle)
        assert size > 100_000
        assert not where.startswith(str(pathlib.Path(sys.prefix)))
        assert context.call(module.agent).startswith('python-requests')


def test_a_first_call_needs_no_more_round_trips(
    stocked: Any, program: Any, broker: econtext.Broker, python: Interpreter, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of this is asked for, or fetched, before the application looks for files or lists modules."""
    module = program({'of_nothing.py': 'import stocked.sub.two, stocked.one\ndef f():\n'
                      '    try:\n        import stocked.nothing\n    except ImportError:\n        return 1\n'},
                     'of_nothing')  # fmt: skip
    asked = []
    answer = broker._tree.modules.answer
    broker._tree.modules.answer = lambda name, here: asked.append(name) or answer(name, here)  # type: ignore[method-assign]
    with caplog.at_level(logging.DEBUG, 'econtext.ctx'):
        context = broker.local(python=python)
        assert context.call(module.f) == 1
    assert asked == []
