"""Point 5, the module forwarder: what a function needs comes from the controller, and nothing else does."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import json
import logging
import os
import pathlib
import subprocess
import sys
import textwrap
import venv
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from travel import calls, facts

import econtext
from lab.programs import write
from lab.pythons import Interpreter

matrix = pytest.mark.controller_matrix
SOURCES = str(pathlib.Path(econtext.__file__).resolve().parent.parent)


@pytest.fixture
def requests(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The modules that contexts asked for, and those that were sent ahead."""
    with caplog.at_level(logging.DEBUG, 'econtext.ctx'):
        yield lambda: [
            name.strip()
            for record in caplog.records
            for mark, _, names in [record.getMessage().partition(' module')]
            if mark in '<>' and names
            for name in names.removeprefix('s').split(':')[0].split(',')
        ]


SEEDS = {
    'myapp/__init__.py': 'from __future__ import absolute_import\n',
    'myapp/mypkg/__init__.py': '',
    'myapp/mypkg/mymodule.py': '''\
        from __future__ import absolute_import
        import sys
        from . import sibling
        from ..top import VALUE
        from .sibling import helper as renamed

        def my_function(x=0):
            from . import late
            return [sys.version_info[0], sys.version_info[1], VALUE, renamed(x), late.late(), __name__, __package__]
        ''',
    'myapp/mypkg/sibling.py': '''\
        from __future__ import absolute_import
        import myapp.mypkg.mymodule     # in a circle
        import myapp.top as top

        def helper(x):
            return top.VALUE, x, myapp.mypkg.mymodule.__name__
        ''',
    'myapp/mypkg/late.py': 'def late():\n    return "late"\n',
    'myapp/top.py': 'VALUE = "top"\n',
}


@pytest.mark.every_python
@matrix
def test_the_seeds_example(
    broker: econtext.Broker, python: Interpreter, program: Any, tmp_path: pathlib.Path
) -> None:
    module = program(SEEDS, 'myapp.mypkg.mymodule')
    expected = [*python.version, 'top', ('top', 5, 'myapp.mypkg.mymodule'), 'late', 'myapp.mypkg.mymodule',
                'myapp.mypkg']  # fmt: skip
    child = broker.local(python=python)
    below = child.local()
    files = sorted(tmp_path.rglob('*'))
    for context in (child, below):
        assert context.call(module.my_function, 5) == expected
        loaders = context.call(facts.loaders, 'myapp')
        assert set(loaders) == {'myapp', 'myapp.mypkg', 'myapp.mypkg.mymodule', 'myapp.mypkg.sibling', 'myapp.top',
                                'myapp.mypkg.late'}  # fmt: skip
        assert set(loaders.values()) == {'econtext.child.pull'}
    assert sorted(tmp_path.rglob('*')) == files, 'nothing was written'


@matrix
def test_namespace_packages(broker: econtext.Broker, python: Interpreter, program: Any) -> None:
    program({'space/one.py': 'def name():\n    return __name__\n'}, place='first')
    one, two, deep = program({
        'space/two.py': 'from space.one import name\n',
        'space/inner/deep.py': 'import space.one\ndef name():\n    return __name__, space.one.name()\n',
    }, 'space.one', 'space.two', 'space.inner.deep', place='second')  # fmt: skip
    child = broker.local(python=python)
    assert child.call(deep.name) == ('space.inner.deep', 'space.one')
    assert child.call(one.name) == 'space.one'
    assert child.call(two.name) == 'space.one'


@matrix
def test_a_zip_on_the_path(
    broker: econtext.Broker, python: Interpreter, program: Any, tmp_path: pathlib.Path, monkeypatch: Any
) -> None:
    with zipfile.ZipFile(tmp_path / 'lib.zip', 'w') as archive:
        for name, text in SEEDS.items():
            archive.writestr(name, textwrap.dedent(text))
        archive.writestr('myapp/data.bin', b'\0\xff\r\n')
        archive.writestr('myapp/reads.py', 'import pkgutil\ndef read():\n    return list(bytearray('
                         'pkgutil.get_data("myapp", "data.bin")))\n')  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path / 'lib.zip'))
    module, reads = program({}, 'myapp.mypkg.mymodule', 'myapp.reads')
    child = broker.local(python=python)
    assert child.call(module.my_function)[4] == 'late'
    assert child.call(reads.read) == [0, 255, 13, 10]


def run(*argv: object, cwd: pathlib.Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv], capture_output=True, text=True, timeout=60, cwd=cwd, stdin=subprocess.DEVNULL,
        env={**os.environ, 'PYTHONPATH': SOURCES, **environment},
    )  # fmt: skip


MAIN = '''\
    import json, sys
    import econtext
    import myapp.mypkg.mymodule

    def of_main():
        return __name__, myapp.top.VALUE

    if __name__ == '__main__' and not econtext.slave:
        import myapp.top
        with econtext.Broker() as broker:
            child = broker.local(python=sys.argv[1])
            print(json.dumps([child.call(myapp.mypkg.mymodule.my_function), child.call(of_main)]))
    '''


@matrix
def test_a_whole_zipapp(python: Interpreter, tmp_path: pathlib.Path) -> None:
    import zipapp

    write(tmp_path / 'tree', {**SEEDS, '__main__.py': MAIN})
    zipapp.create_archive(tmp_path / 'tree', tmp_path / 'app.pyz')
    done = run(sys.executable, tmp_path / 'app.pyz', python, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result, main = json.loads(done.stdout)
    assert result[:3] == [*python.version, 'top']
    assert main == ['app', 'top']


def test_a_package_run_as_a_program(tmp_path: pathlib.Path) -> None:
    write(tmp_path, {**SEEDS, 'tool/__init__.py': '', 'tool/__main__.py': MAIN})
    done = run(sys.executable, '-m', 'tool', sys.executable, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[1] == ['tool.__main__', 'top']


# -- loaders of frozen applications ------------------------------------------


class Archive:
    """Finds modules in a dict, as the archives of frozen applications do."""

    def __init__(self, sources: dict[str, str], readable: bool) -> None:
        self.sources = sources
        if readable:
            self.get_source = sources.__getitem__

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name in self.sources:
            package = any(other.startswith(name + '.') for other in self.sources)
            return importlib.util.spec_from_loader(name, self, origin=f'<archive>/{name}', is_package=package)
        return None

    def create_module(self, spec: Any) -> None: ...

    def get_code(self, name: str) -> Any:
        return compile(self.sources[name], f'<archive>/{name}', 'exec')

    def exec_module(self, module: Any) -> None:
        exec(self.get_code(module.__name__), module.__dict__)


FROZEN = {
    'icy': 'STATE = "frozen"\n',
    'icy.code': 'import sys\nfrom icy import STATE\nfrom icy.more import more\n'
                'def state():\n    return STATE, more(), sys.version_info[0]\n',
    'icy.more': 'def more():\n    return "more"\n',
}  # fmt: skip


@matrix
def test_frozen_with_source(
    broker: econtext.Broker, python: Interpreter, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'meta_path', [Archive(FROZEN, True), *sys.meta_path])
    module = program({}, 'icy.code')
    assert broker.local(python=python).call(module.state) == ('frozen', 'more', python.version[0])


@matrix
def test_frozen_with_code_alone(
    broker: econtext.Broker, python: Interpreter, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'meta_path', [Archive(FROZEN, False), *sys.meta_path])
    module = program({}, 'icy.code')
    child = broker.local(python=python)
    if python.name == '%d.%d' % sys.version_info[:2]:
        assert child.call(module.state) == ('frozen', 'more', 3)
    else:
        with pytest.raises(ImportError, match=r'icy') as caught:
            child.call(module.state)
        assert isinstance(caught.value, econtext.CallError)
        assert python.number in str(caught.value)
        assert 'ship its source' in str(caught.value)
    assert child.call(calls.echo, 1) == 1


# -- imports that fail -------------------------------------------------------

CONDITIONAL = '''\
    try:
        import configparser                     # of Python 3
    except ImportError:
        import ConfigParser as configparser     # of Python 2
    try:
        import tomllib
    except ImportError:
        tomllib = None
    try:
        import no_such_module_anywhere
    except ImportError:
        no_such_module_anywhere = None
    try:
        from maybe import missing
    except ImportError:
        missing = None
    try:
        import maybe.missing.deeper
    except ImportError:
        pass
    import maybe.there

    def found():
        return configparser.__name__, tomllib is not None, no_such_module_anywhere, missing, maybe.there.OK
    '''


@matrix
def test_conditional_imports(
    broker: econtext.Broker, python: Interpreter, program: Any, requests: Callable[[], list[str]]
) -> None:
    module = program({'conditional.py': CONDITIONAL, 'maybe/__init__.py': '', 'maybe/there.py': 'OK = 1\n'},
                     'conditional')  # fmt: skip
    parser = 'configparser' if python.version >= (3, 0) else 'ConfigParser'
    child = broker.local(python=python)
    assert child.call(module.found) == (parser, python.version >= (3, 11), None, None, 1)
    asked = requests()
    assert len(asked) == len(set(asked)), 'each is asked for, or sent, once'


def test_an_import_that_fails_names_the_module(broker: econtext.Broker, python: Interpreter, program: Any) -> None:
    module = program({'needy.py': 'def need():\n    import no_such_module_anywhere\n'}, 'needy')
    child = broker.local(python=python)
    for _ in range(2):
        with pytest.raises(ImportError, match='no_such_module_anywhere') as caught:
            child.call(module.need)
        assert "import no_such_module_anywhere" in str(caught.value)


def test_a_module_that_raises_can_be_tried_again(broker: econtext.Broker, python: Interpreter, program: Any) -> None:
    program({'bomb.py': 'import os\nif not os.getenv("ECT_DEFUSED"):\n    raise ValueError("boom")\nOK = 1\n'})
    module = program({'carrier.py': '''\
        import os
        def carry():
            import bomb
            return bomb.OK
        def defuse():
            os.environ["ECT_DEFUSED"] = "1"
        '''}, 'carrier')  # fmt: skip
    child = broker.local(python=python)
    for _ in range(2):
        with pytest.raises(ValueError, match='boom') as caught:
            child.call(module.carry)
        assert 'bomb.py' in str(caught.value)
        assert 'raise ValueError("boom")' in str(caught.value)
    child.call(module.defuse)
    assert child.call(module.carry) == 1


@pytest.mark.every_python
@pytest.mark.parametrize('indirect', [False, True])
def test_syntax_the_target_cannot_parse(
    broker: econtext.Broker, python: Interpreter, program: Any, indirect: bool
) -> None:
    module, user = program({
        'modern.py': 'def f(value):\n    pass\n\nmatch 1:\n    case 1: pass\n',
        'imports_modern.py': 'def f(value):\n    import modern\n    return value\n',
    }, 'modern', 'imports_modern')  # fmt: skip
    function = user.f if indirect else module.f
    child = broker.local(python=python)
    if python.version >= (3, 10):
        assert child.call(function, 1) == (1 if indirect else None)
        return
    with pytest.raises(SyntaxError) as caught:
        child.call(function, 1)
    text = str(caught.value)
    assert isinstance(caught.value, econtext.CallError)
    for word in ('modern.py', 'line 4', 'match 1', python.name + '.', '.'.join(map(str, sys.version_info[:3]))):
        assert word in text, (word, text)
    assert child.call(calls.echo, 1) == 1


# -- forms of sources --------------------------------------------------------


@pytest.mark.every_python
@pytest.mark.parametrize(('source', 'expected'), [
    (b'\xef\xbb\xbf# BOM\nVALUE = u"\xc3\xa4"\n', 'ä'),
    (b'# -*- coding: latin-1 -*-\nVALUE = u"\xe4"\n', 'ä'),
    (b'#!/usr/bin/python\n# vim: set fileencoding=utf-8 :\nVALUE = u"\xc3\xa4"\n', 'ä'),
    (b'VALUE = 1\r\nif VALUE:\r\n    VALUE = 2\r\n', 2),
    (b'VALUE = 3', 3),
    (b'if 1:\n\tVALUE = 4\n\x0c\n', 4),
    (b'VALUE = """a\r\nb"""\r\n', 'a\nb'),
    (b'', None),
], ids=['bom', 'latin', 'vim', 'crlf', 'unfinished', 'tabs', 'crlf-string', 'empty'])  # fmt: skip
def test_any_form_of_source(
    broker: econtext.Broker, python: Interpreter, program: Any, source: bytes, expected: Any
) -> None:
    module = program({'odd_form.py': source, 'asks_form.py': 'import odd_form\ndef value():\n'
                      '    return getattr(odd_form, "VALUE", None)\n'}, 'asks_form')  # fmt: skip
    assert broker.local(python=python).call(module.value) == expected


def test_a_large_module(broker: econtext.Broker, program: Any) -> None:
    lines = ''.join(f'VALUE_{i} = "{i * 7919:x}"\n' for i in range(40_000))
    module = program({'large.py': lines + 'def last():\n    return VALUE_39999\n'}, 'large')
    assert broker.local().call(module.last) == module.last()


def test_a_compiled_extension_is_an_error_that_names_it(broker: econtext.Broker, program: Any) -> None:
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    module = program({f'compiled{suffix}': b'\x7fELF', 'wants_compiled.py': 'def f():\n    import compiled\n'},
                     'wants_compiled')  # fmt: skip
    with pytest.raises(ImportError, match='compiled'):
        broker.local().call(module.f)


@pytest.mark.every_python
def test_imports_of_every_spelling(broker: econtext.Broker, python: Interpreter, program: Any) -> None:
    module = program({**SEEDS, 'spellings.py': '''\
        import threading
        def spell():
            import myapp.mypkg.late as one
            from myapp.mypkg import late as two
            from myapp.mypkg.late import late as three
            four = __import__('myapp.mypkg.late')
            five = __import__('myapp.mypkg.late', {}, {}, ['late'])
            import importlib
            six = importlib.import_module('.late', 'myapp.mypkg')
            names = {}
            exec('from myapp.mypkg.late import *', names)
            return [one is two, three(), four.__name__, five is one, six is one, names['late']()]
        def in_threads():
            found = []
            def work():
                from myapp.mypkg import mymodule
                found.append(mymodule.my_function()[4])
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return found
        '''}, 'spellings')  # fmt: skip
    child = broker.local(python=python)
    assert child.call(module.spell) == [True, 'late', 'myapp', True, True, 'late']
    assert broker.local(python=python).call(module.in_threads) == ['late'] * 8


def test_sources_can_be_looked_into(broker: econtext.Broker, python: Interpreter, program: Any) -> None:
    module = program({'mirror.py': '''\
        import inspect, pkgutil, traceback, sys
        def look():
            try:
                raise KeyError
            except KeyError:
                trace = traceback.format_exc()
            return inspect.getsource(look), "raise KeyError" in trace, pkgutil.get_loader is not None
        '''}, 'mirror')  # fmt: skip
    source, traced, _ = broker.local(python=python).call(module.look) if python.version < (3, 14) else (None, True, 0)
    assert traced
    if source:
        assert source.startswith('def look():')


# -- data --------------------------------------------------------------------


@matrix
def test_data_files_of_packages(broker: econtext.Broker, python: Interpreter, program: Any) -> None:
    content = bytes(range(256)) * 1000
    module = program({
        'packed/__init__.py': '', 'packed/data/deep.bin': content, 'packed/sub/__init__.py': '',
        'packed/sub/x.txt': 'x\r\n', 'secret.txt': 'secret',
        'packed/reads.py': '''\
            import pkgutil
            def read(package, name):
                __import__(package)     # Python 2 finds data of modules that it has imported
                data = pkgutil.get_data(package, name)
                if data is not None:
                    return list(bytearray(data))
            ''',
    }, 'packed.reads')  # fmt: skip
    for child in (broker.local(python=python), broker.local().local(python=python)):
        assert child.call(module.read, 'packed', 'data/deep.bin') == list(content)
        assert child.call(module.read, 'packed.sub', 'x.txt') == list(b'x\r\n')
        for name in ('missing', '../secret.txt', 'data', '/etc/passwd'):
            with pytest.raises((OSError, ValueError)):
                child.call(module.read, 'packed', name)
        assert child.call(calls.echo, 1) == 1


# -- where modules come from -------------------------------------------------


@pytest.mark.every_python
def test_the_targets_standard_library_is_its_own(
    broker: econtext.Broker, python: Interpreter, program: Any, requests: Callable[[], list[str]]
) -> None:
    names = ['json', 'email.mime.text', 'xml.dom.minidom', 'logging.handlers', 'sqlite3', 'unittest', 'ctypes',
             'multiprocessing', 'encodings.idna']  # fmt: skip
    module = program({
        'json.py': 'raise ValueError("not this one")\n',
        'uses_standard.py': 'import ' + ', '.join(names) + '\nimport sys\ndef files(names):\n'
                            '    return [sys.modules[name].__file__ for name in names]\n',
    })  # fmt: skip
    spec = importlib.util.find_spec('uses_standard')
    assert spec is not None
    assert module == []
    stub = sys.modules['uses_standard'] = importlib.util.module_from_spec(spec)
    exec('def files(names): pass', stub.__dict__)
    child = broker.local(python=python)
    home = os.path.dirname(os.path.dirname(python))
    files = child.call(stub.files, names)
    assert all(file.startswith(home) for file in files), files
    sent = {name.partition('.')[0] for name in requests()}
    assert sent & {name.partition('.')[0] for name in names} == set()


@pytest.fixture(scope='module')
def target(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An interpreter with packages of its own installed: `both`, `there` and, to mislead, `econtext`."""
    folder = tmp_path_factory.mktemp('target') / 'venv'
    venv.create(folder, symlinks=True)
    (site,) = folder.glob('lib/python*/site-packages')
    write(site, {
        'both/__init__.py': 'WHOSE = "target"\n', 'there.py': 'WHOSE = "target"\n',
        'econtext/__init__.py': 'raise RuntimeError("not this one")\n', 'mine/__init__.py': 'WHOSE = "target"\n',
    })  # fmt: skip
    return folder / 'bin' / 'python'


ASKER = '''\
    def whose(name):
        import importlib
        return importlib.import_module(name).WHOSE
    '''
INSTALLED = {'both/__init__.py': 'WHOSE = "controller"\n', 'here/__init__.py': 'WHOSE = "controller"\n'}


@matrix
@pytest.mark.parametrize(('options', 'both', 'mine'), [
    ({}, 'target', 'program'),
    ({'forward': ['both']}, 'controller', 'program'),
    ({'installed': ['mine']}, 'target', 'target'),
])  # fmt: skip
def test_own_code_first_then_the_targets_packages_then_ours(
    program: Any, target: pathlib.Path, options: dict[str, list[str]], both: str, mine: str
) -> None:
    program(INSTALLED, place='lib/site-packages')
    module = program({'asker.py': ASKER, 'mine/__init__.py': 'WHOSE = "program"\n'}, 'asker')
    with econtext.Broker(**options) as broker:
        child = broker.local(python=str(target))
        assert child.executable in ('', str(target))
        found = {name: child.call(module.whose, name) for name in ('both', 'mine', 'here', 'there')}
    assert found == {'both': both, 'mine': mine, 'here': 'controller', 'there': 'target'}


def test_options_of_the_broker_must_not_contradict() -> None:
    with pytest.raises(ValueError, match='both'):
        econtext.Broker(forward=['both'], installed=['both'])


@matrix
def test_stray_copies_change_nothing(
    broker: econtext.Broker, python: Interpreter, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, program: Any
) -> None:
    trap = 'raise RuntimeError("not this one")\n'
    names = ('econtext/__init__.py', 'json.py', 'zlib.py', 'struct.py', 'select.py', 'threading.py', 'sitecustomize.py',
             'usercustomize.py', 'myapp/__init__.py')  # fmt: skip
    module = program(SEEDS, 'myapp.mypkg.mymodule')
    write(tmp_path / 'stray', dict.fromkeys(names, trap))
    monkeypatch.chdir(tmp_path / 'stray')
    child = broker.local(python=python, env={'PYTHONPATH': str(tmp_path / 'stray'), 'PYTHONSTARTUP': 'json.py',
                                             'PYTHONDONTWRITEBYTECODE': None})  # fmt: skip
    for context in (child, child.local()):
        assert context.call(module.my_function)[:2] == list(python.version)
        assert context.call(os.getcwd) == str(tmp_path / 'stray')
        assert context.call(len, context.call(facts.loaders, 'econtext')) > 5
    assert sorted(p.name for p in (tmp_path / 'stray').rglob('*.pyc')) == []


def test_the_controllers_half_never_travels(broker: econtext.Broker, python: Interpreter, program: Any) -> None:
    module = program({'peeks.py': 'def peek():\n    import econtext.controller.broker\n'}, 'peeks')
    child = broker.local(python=python)
    with pytest.raises(ImportError, match='controller'):
        child.call(module.peek)


@pytest.fixture(scope='session')
def extras() -> None:
    """Import what dask and joblib of ours need, for good: it enters `sys.meta_path`, which `program` restores."""
    for extra in 'distributed', 'joblib':
        pytest.importorskip(extra)


def test_modules_of_ours_that_a_program_imports_are_imported_there(
    extras: None, broker: econtext.Broker, python: Interpreter, program: Any
) -> None:
    script = program({'uses_ours.py': """
        import econtext.aio
        import econtext.dask
        import econtext.inventory, econtext.joblib
        import econtext.testing
        from econtext.aio import Broker, Fleet
        from econtext.dask import Cluster
        from econtext import aio

        def double(x):
            return 2 * x

        def wrong():
            Cluster(['web1'])
    """}, 'uses_ours')
    context = broker.local(python=python)
    assert context.call(script.double, 4) == 8
    with pytest.raises(econtext.CallError, match=r'econtext\.dask\.Cluster works only where the program was started'):
        context.call(script.wrong)


def test_modules_are_read_without_being_run(broker: econtext.Broker, program: Any, tmp_path: pathlib.Path) -> None:
    mark = tmp_path / 'ran-here'
    module = program({
        'runs.py': f'import os\nif os.getppid() == {os.getpid()}:\n    VALUE = "there"\n'
                   f'else:\n    open({str(mark)!r}, "w")\n',
        'wants_runs.py': 'def value():\n    import runs\n    return runs.VALUE\n',
    }, 'wants_runs')  # fmt: skip
    assert broker.local().call(module.value) == 'there'
    assert not mark.exists()
    assert 'runs' not in sys.modules


def test_nothing_waits_for_what_is_not_needed(broker: econtext.Broker, program: Any) -> None:
    """A module that imports a hundred of its own comes in one go, not one round trip each."""
    files = {f'hundred/m{i}.py': 'X = 1\n' for i in range(100)}
    files['hundred/__init__.py'] = ''
    files['hundred/all.py'] = ''.join(f'from hundred import m{i}\n' for i in range(100)) + 'def f():\n    return 1\n'
    module = program(files, 'hundred.all')
    child = broker.local()
    child.wait_ready(60)
    asked = []
    answer = broker._tree.modules.answer
    broker._tree.modules.answer = lambda name, here: asked.append(name) or answer(name, here)  # type: ignore[method-assign]
    assert child.call(module.f) == 1
    assert asked == []


def test_logging_is_not_imported_before_the_program_does(broker: econtext.Broker, python: Interpreter) -> None:
    child = broker.local(python=python)
    assert child.call(facts.loaded, 'logging', 'socket', 'subprocess', 'json', 'econtext.parent.children') == []


