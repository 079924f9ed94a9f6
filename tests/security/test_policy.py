"""Which modules leave the program: what is denied is sent in no way, and whoever wants it hears why."""

from __future__ import annotations

import os
import pathlib
import sys
import zipfile
from collections.abc import Iterator

import guarded.settings
import guarded.work
import pytest

import econtext
from lab.pythons import Interpreter


@pytest.mark.parametrize('where', ['below us', 'behind a hop'])
@pytest.mark.parametrize('python', ['2.7', '3.6', '3.13'], indirect=True)
def test_what_is_denied_is_not_sent(python: Interpreter, where: str) -> None:
    with econtext.Broker(deny_modules=['guarded.settings', 'os']) as broker:
        context = broker.local(python=python)
        if where == 'behind a hop':
            context = context.local()
        assert context.call(guarded.fine) == 'fine'
        with pytest.raises(econtext.NotAllowed, match='deny_modules'):
            context.call(guarded.settings.give)
        with pytest.raises(econtext.NotAllowed):
            context.submit(os.getpid)
        with pytest.raises(ImportError, match='deny_modules'):
            context.call(guarded.work.imports, 'guarded.settings')
        assert context.call(guarded.work.imports, 'guarded.work') == 'guarded.work'


@pytest.mark.parametrize('python', ['2.7', '3.6', '3.13'], indirect=True)
def test_nothing_but_what_is_allowed_is_sent(python: Interpreter) -> None:
    with econtext.Broker(allow_modules=['guarded.w*', 'guarded']) as broker:
        context = broker.local(python=python)
        assert context.call(guarded.work.imports, 'guarded') == 'guarded'
        assert context.call(os.getpid) == context.pid, 'what the target has of its own is no question'
        with pytest.raises(econtext.NotAllowed, match='allow_modules'):
            context.call(pytest.main)
        with pytest.raises(ImportError, match='allow_modules'):
            context.call(guarded.work.imports, 'lab.leaks')


def test_files_follow_their_package(broker: econtext.Broker) -> None:
    assert broker.local().call(guarded.work.data, 'guarded', 'file.txt') == 5
    with econtext.Broker(deny_modules=['guarded']) as strict:
        assert strict._tree.modules.data('guarded', 'file.txt') is None
    with econtext.Broker(deny_modules=['__main__']) as strict, pytest.raises(econtext.NotAllowed):
        strict._tree.modules.policy.check(strict._tree.modules.main)


def test_what_is_no_list_of_names_is_refused() -> None:
    with pytest.raises(TypeError, match='allow_modules'):
        econtext.Broker(allow_modules='app')
    with pytest.raises(TypeError, match='deny_modules'):
        econtext.Broker(deny_modules=[b'app'])  # type: ignore[list-item]


# -- all that is no module passes the same gate ------------------------------

FILES = {
    'app/__init__.py': '', 'app/open.txt': 'open', 'app/settings.py': 'TOKEN = 1', 'app/settings.ini': 'token',
    'app/settings.pyc': 'code', 'app/settings.py.orig': 'TOKEN = 1', 'app/lib.so': 'x', 'app/lib.so.1.2': 'x',
    'app/stub.pyi': 'TOKEN: int', 'app/__pycache__/settings.cpython-311.pyc': 'code', 'app/work.py': '',
    'app/UP.PY': '', 'app/hidden/__init__.py': '', 'app/hidden/token.txt': 'token',
    'app/hidden/deeper/token.txt': 'token',
    'app/data/table.csv': '1', 'app/key.pem': '\ufeff  -----BEGIN RSA PRIVATE KEY-----', 'app/store.p12': 'x',
    'other/__init__.py': '', 'other/shared.txt': 'shared', 'other/secret.py': '', 'beside.txt': 'beside',
    'folder/note.txt': 'a folder is no package', 'app/.netrc': 'x', 'app/sub/__init__.py': '', 'app/sub/x.txt': 'x',
}  # fmt: skip
LINKS = {
    'app/link_open': 'open.txt', 'app/link_code.txt': 'settings.py', 'app/link_hidden.txt': 'hidden/token.txt',
    'app/public': 'hidden', 'app/other.txt': '../other/shared.txt', 'app/beside.txt': '../beside.txt',
    'app/passwd': '/etc/passwd', 'app/folder.txt': '../folder/note.txt', 'app/tables': 'data',
    'app/alias.py': 'settings.py', 'app/dotted.txt': '.netrc', 'app/up': '..', 'app/loop': 'loop',
}  # fmt: skip


@pytest.fixture
def tree(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """Files and links of a program, found by imports."""
    for name, text in FILES.items():
        path = tmp_path / 'tree' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, target in LINKS.items():
        (tmp_path / 'tree' / name).symlink_to(target)
    monkeypatch.syspath_prepend(str(tmp_path / 'tree'))
    yield tmp_path / 'tree'
    for name in [name for name in sys.modules if name.partition('.')[0] in ('app', 'other', 'store')]:
        del sys.modules[name]


SERVED = {
    ('app', 'open.txt'): 'open', ('app', 'data/table.csv'): '1', ('app', 'link_open'): 'open',
    ('app', 'tables/table.csv'): '1', ('app', 'other.txt'): 'shared', ('app.sub', 'x.txt'): 'x',
    ('app', 'sub/x.txt'): 'x', ('app.data', 'table.csv'): '1',
}  # fmt: skip
REFUSED = [
    ('app', 'settings.py'), ('app', 'settings.pyc'), ('app', 'settings.ini'), ('app', 'settings.py.orig'),
    ('app', 'lib.so'), ('app', 'lib.so.1.2'), ('app', 'stub.pyi'), ('app', 'work.py'), ('app', 'UP.PY'),
    ('app', '__init__.py'), ('app', '__pycache__/settings.cpython-311.pyc'), ('app', 'hidden/token.txt'),
    ('app.hidden', 'token.txt'), ('app', 'hidden/deeper/token.txt'), ('app.hidden.deeper', 'token.txt'),
    ('app', 'key.pem'), ('app', 'store.p12'), ('app', 'link_code.txt'), ('app', 'link_hidden.txt'),
    ('app', 'public/token.txt'), ('app.public', 'token.txt'), ('app', 'beside.txt'), ('app', 'passwd'),
    ('app', 'folder.txt'), ('app', 'dotted.txt'), ('app', 'up/beside.txt'), ('app', 'up/app/hidden/token.txt'),
    ('app', 'loop'), ('app', '../beside.txt'), ('app', '/etc/passwd'), ('app', 'data'), ('app', ''),
    ('app', './open.txt'), ('app', 'data//table.csv'), ('app', 'OPEN.TXT'),
    ('app', 'hidden/../open.txt'), ('app', 'open.txt\0'),
    ('folder', 'note.txt'), ('app.work', 'open.txt'), ('other', '../beside.txt'), ('', 'beside.txt'), ('app', '.netrc'),
    ('app\\hidden', 'token.txt'), ('app', 'hidden\\token.txt'), ('app.', 'open.txt'), ('app', 'C:open.txt'),
]  # fmt: skip


def strict() -> econtext.Broker:
    return econtext.Broker(deny_modules=['app.settings', 'app.hidden'])


@pytest.mark.usefixtures('tree')
def test_a_file_is_had_through_no_name_that_is_denied() -> None:
    with strict() as broker:
        got = {(package, name): broker._tree.modules.data(package, name) for package, name in [*SERVED, *REFUSED]}
    assert {key: data.decode() for key, data in got.items() if data is not None} == SERVED


@pytest.mark.usefixtures('tree')
def test_a_list_names_what_may_be_had() -> None:
    import marshal

    with strict() as broker:
        def listed(package: str, folder: str) -> list[tuple[str, str]]:
            body = broker._tree.modules.resources.answer(package, folder + '/', ())
            return [] if body is None else [tuple(entry) for entry in marshal.loads(body)]

        assert listed('app', '') == [
            ('d', 'data'), ('d', 'sub'), ('d', 'tables'), ('f', 'key.pem'), ('f', 'link_open'), ('f', 'open.txt'),
            ('f', 'other.txt'), ('m', 'lib'), ('m', 'work'), ('p', 'sub')]  # fmt: skip
        assert listed('app', 'data') == [('f', 'table.csv')]
        for package, folder in ('app', 'hidden'), ('app.hidden', ''), ('app', 'public'), ('app', 'up'), ('folder', ''):
            assert listed(package, folder) == [], (package, folder)
        for wanted in '..', '.', '/etc', '', 'hidden/deeper', '\0', 'a/' * 2000:
            assert listed('app', wanted + '/') == []


@pytest.mark.usefixtures('tree')
def test_a_module_is_had_by_no_link_to_what_is_denied() -> None:
    with strict() as broker:
        for name in 'app.alias', 'app.public', 'app.settings', 'app.hidden':
            found = dict(broker._tree.modules.answer(name, False))[name]
            assert found is not None
            assert b'ImportError' in found[2]
            assert b'deny_modules' in found[2]
        work = dict(broker._tree.modules.answer('app.work', False))['app.work']
        assert work is not None
        assert b'ImportError' not in work[2]


def test_files_in_an_archive_pass_the_same_gate(tmp_path: pathlib.Path, tree: pathlib.Path) -> None:
    with zipfile.ZipFile(tmp_path / 'store.zip', 'w') as archive:
        for name, text in FILES.items():
            archive.writestr(name.replace('app/', 'store/'), text)
    sys.path.insert(0, str(tmp_path / 'store.zip'))
    with econtext.Broker(deny_modules=['store.settings', 'store.hidden']) as broker:
        data = broker._tree.modules.data
        assert data('store', 'open.txt') == b'open'
        assert data('store', 'data/table.csv') == b'1'
        for package, name in REFUSED:
            assert data(package.replace('app', 'store'), name) is None, (package, name)
        body = broker._tree.modules.resources.answer('store', '/', ())
        assert body is not None
        assert b'open.txt' in body
        assert b'hidden' not in body
    sys.path.remove(str(tmp_path / 'store.zip'))


def test_packages_whose_every_file_is_a_link_into_a_store(tmp_path: pathlib.Path, tree: pathlib.Path) -> None:
    """As some installers save space: the links lead out of the package, all to one place."""
    (tmp_path / 'cache' / 'x1').mkdir(parents=True)
    (tree / 'linked' / 'data').mkdir(parents=True)
    for name in '__init__.py', 'table.txt', 'settings.py':
        (tmp_path / 'cache' / 'x1' / name).write_text('x')
        (tree / 'linked' / name).symlink_to(tmp_path / 'cache' / 'x1' / name)
    (tree / 'linked' / 'away.txt').symlink_to(tmp_path / 'cache' / 'x1' / 'settings.py')
    with econtext.Broker() as broker:
        assert broker._tree.modules.data('linked', 'table.txt') == b'x'
        assert broker._tree.modules.data('linked', 'away.txt') is None
