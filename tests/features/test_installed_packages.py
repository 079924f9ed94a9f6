"""Point 5, installed packages: what does not fit the Python of a context is an ImportError there, and says why."""

from __future__ import annotations

import importlib
import importlib.machinery
import logging
import pathlib
import sys
from typing import Any

import pytest

import econtext
from lab.programs import write
from lab.pythons import Interpreter

SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
INSTALLED = {
    'newer/__init__.py': 'import no_such_thing_of_old\n', 'newer-1.0.dist-info/RECORD': 'newer/__init__.py,,\n',
    'newer-1.0.dist-info/METADATA': 'Name: newer\nRequires-Python: >=99\n\n',
    'fitting/__init__.py': 'OK = 1\n', 'fitting-1.0.dist-info/RECORD': 'fitting/__init__.py,,\n',
    'fitting-1.0.dist-info/METADATA': 'Name: fitting\nRequires-Python: >=2.4\n\n',
    'unsaid/__init__.py': 'OK = 1\nif OK:\n    match OK:\n        case 1: pass\n',
    'compiled/__init__.py': 'try:\n    from . import _c\nexcept ImportError:\n    raise ImportError("did it build?")\n',
    f'compiled/_c{SUFFIX}': b'\x7fELF',
    'faster/__init__.py': 'try:\n    from ._c import OK\nexcept ImportError:\n    OK = 1\n',
    f'faster/_c{SUFFIX}': b'\x7fELF',
    'both/__init__.py': 'from .fast import OK\n', f'both/fast{SUFFIX}': b'\x7fELF', 'both/fast.py': 'OK = 1\n',
    f'alone{SUFFIX}': b'\x7fELF',
    'chosen/__init__.py': 'import sys\nif sys.platform:\n    from . import _c\n', f'chosen/_c{SUFFIX}': b'\x7fELF',
}  # fmt: skip
OPTIONAL = '''\
    import sys
    def optional(name):
        try:
            return __import__(name).OK
        except ImportError:
            return 'ImportError: %s' % sys.exc_info()[1]
    def needed(name):
        return __import__(name)
    '''


@pytest.fixture
def optional(program: Any) -> Any:
    """Before the broker is made, which looks where packages are installed."""
    program(INSTALLED, place='lib/site-packages')
    return program({'optional.py': OPTIONAL}, 'optional')


def test_what_is_made_for_another_python_is_an_import_error(
    optional: Any, broker: econtext.Broker, python: Interpreter
) -> None:
    context = broker.local(python=python)
    said = {name: context.call(optional.optional, name) for name in ('newer', 'fitting', 'unsaid')}
    assert said['fitting'] == 1
    if python.version >= (3, 10):
        assert said['unsaid'] == 1
    else:
        for word in ('ImportError', 'line 3', '3.10', 'install', 'unsaid'):
            assert word in said['unsaid'], word
    for word in ('ImportError', '>=99', python.number, 'install') if python.version != sys.version_info[:2] else ():
        assert word in said['newer'], word
    with pytest.raises(ImportError):
        context.call(optional.needed, 'newer')


def test_what_has_compiled_parts_is_an_import_error_unless_it_can_do_without(
    optional: Any, broker: econtext.Broker, python: Interpreter
) -> None:
    context = broker.local(python=python)
    assert [context.call(optional.optional, name) for name in ('faster', 'both')] == [1, 1]
    for name in 'compiled', 'alone', 'chosen':
        said = context.call(optional.optional, name)
        for word in ('ImportError', name, 'compiled parts', f'install {name}'):
            assert word in said, (name, said)
        assert 'did it build' not in said


# -- importers ----------------------------------------------------------------

SIX = '''\
    import sys, types
    __path__ = []
    if globals().get('__spec__') is not None:
        __spec__.submodule_search_locations = []

    class Importer(object):
        def find_module(self, name, path=None):
            if name == __name__ + '.moves':
                return self
        def find_spec(self, name, path, target=None):
            if name == __name__ + '.moves':
                from importlib.machinery import ModuleSpec
                return ModuleSpec(name, self, is_package=True)
        def load_module(self, name):
            module = sys.modules[name] = types.ModuleType(name)
            module.__path__ = []
            module.range = 'made'
            return module
        def create_module(self, spec):
            return self.load_module(spec.name)
        def exec_module(self, module):
            pass
        def is_package(self, name):
            return True
        def get_code(self, name):
            return None
        get_source = get_code
    sys.meta_path.append(Importer())
    '''
MAKER = '''\
    import sys, types
    class Finder(object):
        def find_module(self, name, path=None):
            if name in ('made_of_nothing', 'maker.plugins', 'maker.plugins.one'):
                return self
        def find_spec(self, name, path=None, target=None):
            if self.find_module(name):
                from importlib.util import spec_from_loader
                return spec_from_loader(name, self, is_package=name == 'maker.plugins')
        def load_module(self, name):
            module = sys.modules[name] = types.ModuleType(name)
            module.__path__ = []
            module.WHO = name
            return module
        def create_module(self, spec):
            return self.load_module(spec.name)
        def exec_module(self, module):
            pass
    sys.meta_path.append(Finder())
    '''
EXTERN = '''\
    import sys
    class Vendored(object):
        def find_module(self, name, path=None):
            if name.startswith('outer.extern.'):
                return self
        def find_spec(self, name, path=None, target=None):
            if self.find_module(name):
                from importlib.util import spec_from_loader
                return spec_from_loader(name, self)
        def load_module(self, name):
            real = 'outer._vendor.' + name[len('outer.extern.'):]
            __import__(real)
            sys.modules[name] = sys.modules[real]
            return sys.modules[name]
        def create_module(self, spec):
            return self.load_module(spec.name)
        def exec_module(self, module):
            pass
    sys.meta_path.append(Vendored())
    '''
USES = '''\
    def uses():
        import simple_six, vendoring.vendor.six
        from simple_six.moves import range as one
        from vendoring.vendor.six.moves import range as two
        import maker
        import made_of_nothing, maker.plugins, maker.plugins.one
        import outer.extern
        from outer.extern.deep import VALUE
        return one, two, made_of_nothing.WHO, maker.plugins.WHO, maker.plugins.one.WHO, VALUE
    '''


@pytest.mark.every_python
@pytest.mark.parametrize('imported', [True, False], ids=['imported here', 'not imported here'])
def test_what_packages_make_of_nothing_is_made_there(
    broker: econtext.Broker, python: Interpreter, program: Any, imported: bool
) -> None:
    module = program({
        'simple_six.py': SIX, 'vendoring/__init__.py': '', 'vendoring/vendor/__init__.py': '',
        'vendoring/vendor/six.py': SIX, 'maker/__init__.py': MAKER, 'outer/__init__.py': '',
        'outer/extern/__init__.py': EXTERN, 'outer/_vendor/__init__.py': '', 'outer/_vendor/deep.py': 'VALUE = 7\n',
        'uses_importers.py': USES,
    }, 'uses_importers')  # fmt: skip
    expected = 'made', 'made', 'made_of_nothing', 'maker.plugins', 'maker.plugins.one', 7
    if imported:
        assert module.uses() == expected
    assert broker.local(python=python).call(module.uses) == expected


def test_nothing_is_asked_for_that_a_finder_there_has(
    broker: econtext.Broker, program: Any, caplog: pytest.LogCaptureFixture
) -> None:
    module = program({'maker/__init__.py': MAKER, 'uses_maker.py':
                      'def use():\n    import maker, made_of_nothing\n    return made_of_nothing.WHO\n'},
                     'uses_maker')  # fmt: skip
    with caplog.at_level(logging.DEBUG, 'econtext.ctx'):
        assert broker.local().call(module.use) == 'made_of_nothing'
    assert [record.getMessage() for record in caplog.records if 'module made_of' in record.getMessage()] == []


def test_a_loader_that_cannot_be_read_has_its_file_read(
    broker: econtext.Broker, program: Any, tmp_path: pathlib.Path
) -> None:
    """As one that loads lazily: nothing but how to execute is told."""
    program({'carries_lazy.py': 'def value():\n    import lazily\n    return lazily.VALUE\n'})
    path = write(tmp_path / 'lazy', {'lazily.py': 'VALUE = 3\n'}) / 'lazily.py'

    class Loader:
        def create_module(self, spec: Any) -> None: ...
        def exec_module(self, module: Any) -> None: ...

    class Finder:
        def find_spec(self, name: str, path_: Any = None, target: Any = None) -> Any:
            if name == 'lazily':
                return importlib.machinery.ModuleSpec(name, Loader(), origin=str(path))
            return None

    sys.meta_path.insert(0, Finder())
    carrier = importlib.import_module('carries_lazy')
    assert broker.local().call(carrier.value) == 3
