"""The Python interpreters at hand, for children of every supported version.

    python tests/lab/pythons.py [VERSION …]      prints absolute paths; exit status 1 if one is missing

ECONTEXT_PYTHONS has tests that are about versions run with the children it names: versions, and paths of interpreters
or of folders that hold some, `2.7:/opt/python2.4/bin/python:/opt/pythons`.

Invariants:
* Paths are the interpreters' own, never a version manager's shim, which starts many times slower.
* An interpreter that other accounts cannot reach is copied, not opened up: nobody's home changes its mode.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

# Those that the tests must have seen; CI fails without them.
REQUIRED = ('2.7', '3.6', '3.7', '3.8', '3.9', '3.10', '3.11', '3.12', '3.13', '3.14', '3.15', 'pypy3.11')
# Those that are used where they are found: without the lock of the interpreter.
WELCOME = ('3.13t', '3.14t', '3.15t')
# Those that differ most.
ENDS = ('2.7', '3.6', '3.15', 'pypy3.11')
# Where scripts/interpreters unpacks what this system does not have.
UNPACKED = Path('/var/cache/econtext/interpreters/usr/bin')

# What an interpreter is to print its name by.
ASK = """import sys
kind = ('', 'pypy')['PyPy' in sys.version]
threads = ('', 't')[hasattr(sys, '_is_gil_enabled') and not sys._is_gil_enabled()]
sys.stdout.write('%s%d.%d%s' % ((kind,) + tuple(sys.version_info[:2]) + (threads,)))
"""

# What no child needs, and would only make a copy large.
LEFT_OUT = ('site-packages', 'test', 'tests', 'idlelib', 'tkinter', 'lib-tk', 'turtledemo', 'ensurepip',
            'config-*', 'config', 'lib2to3', '*.a')  # fmt: skip

# A copy's folder: this, the number of the process that made it, and what makes it unique.
COPY = 'econtext-python-'


class Interpreter(str):
    """The absolute path of an interpreter, which also knows its version, `(3, 6)`, and its name, `3.6` or `pypy3.6`."""

    version: tuple[int, int]
    name: str
    number: str  # the name without what is special

    def __new__(cls, path: str, version: str) -> Interpreter:
        self = super().__new__(cls, path)
        major, minor = version.removeprefix('pypy').removesuffix('t').split('.')
        self.version = (int(major), int(minor))
        self.name = version
        self.number = f'{major}.{minor}'
        return self


def chosen() -> tuple[list[str], list[Path]]:
    """Return the versions and the paths that ECONTEXT_PYTHONS names: words, apart by blanks or colons."""
    words = os.environ.get('ECONTEXT_PYTHONS', '').replace(':', ' ').split()
    return [word for word in words if '/' not in word], [Path(word) for word in words if '/' in word]


@functools.lru_cache(maxsize=1)
def extra() -> dict[str, Interpreter]:
    """Return version -> path of the interpreters that ECONTEXT_PYTHONS names by path, oldest version first."""
    found = {}
    for path in chosen()[1]:
        places = [path] if path.is_file() else [
            place for pattern in ('python*', 'bin/python*', '*/bin/python*') for place in sorted(path.glob(pattern))]
        inside = {}
        for place in places:
            name = _says(str(place)) if place.is_file() and os.access(place, os.X_OK) else ''
            if re.fullmatch(r'(pypy)?\d+\.\d+t?', name):
                inside.setdefault(name, Interpreter(str(place), name))
        if not inside:
            raise RuntimeError(f'ECONTEXT_PYTHONS: {path} is no interpreter, and no folder of such')
        found.update(inside)
    return dict(sorted(found.items(), key=lambda pair: (pair[0].startswith('pypy'), pair[1].version)))


@functools.lru_cache(maxsize=1)
def interpreters() -> dict[str, Interpreter]:
    """Return version -> path of what is at hand, oldest version first; what ECONTEXT_PYTHONS names comes before all."""
    found = dict(extra())
    for version in REQUIRED + WELCOME:
        if version in found:
            continue
        for path in _candidates(version):
            if _runs(path, version):
                found[version] = Interpreter(path, version)
                break
    return found


def wanted() -> tuple[str, ...]:
    """Return the versions that children have: all, or those that ECONTEXT_PYTHONS names."""
    return (*chosen()[0], *extra()) or everything()


def everything() -> tuple[str, ...]:
    """Return the versions of all children: those that must have been seen, and what else is at hand."""
    further = (version for version in (*WELCOME, *extra()) if version in interpreters() and version not in REQUIRED)
    return REQUIRED + tuple(dict.fromkeys(further))


def some(test: str) -> tuple[str, ...]:
    """Return the versions that the test of this name runs with: the ends, and one of the rest, always the same one.

    Between them the tests go through every version; a test that is about versions is marked `every_python`.
    """
    versions = wanted()
    if any(chosen()):
        return versions
    rest = [version for version in versions if version not in ENDS]
    third = rest[zlib.crc32(test.encode()) % len(rest)]
    return tuple(version for version in versions if version in ENDS or version == third)


def interpreter(version: str) -> Interpreter:
    """Return the interpreter of `version`; where there is none, skip the test, or fail it in CI."""
    from lab import unavailable  # here, for this file is also a program

    found = interpreters().get(version)
    return found if found is not None else unavailable(f'no Python {version} here')


def public_python(version: str) -> Interpreter:
    """Return an interpreter of `version` that every account of this machine can run; skip or fail as above."""
    own = interpreter(version)
    for path in (own, *_system(version)):
        if _open_to_all(Path(path)) and _runs(path, version):
            return Interpreter(path, version)
    return _copied(version)


def everyones() -> str:
    """Return the path of a Python 3 that every account of this machine can run: the system's, or a copy of this one."""
    for path in ('/usr/bin/python3', '/usr/local/bin/python3'):
        if _open_to_all(Path(path)):
            return path
    return str(public_python('%d.%d' % sys.version_info[:2]))


def nobodys() -> list[str]:
    """Return the command line of a Python 3 that runs as nobody; it needs root."""
    return ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', everyones()]


def micropython() -> str:
    """Return the path of a MicroPython; where there is none, skip the test, or fail it in CI."""
    from lab import program, unavailable

    unpacked = UNPACKED / 'micropython'
    return str(unpacked) if unpacked.exists() else program('micropython') or unavailable('no MicroPython here')


def _candidates(version: str) -> list[str]:
    return _pyenv(version) + _system(version)


def _pyenv(version: str) -> list[str]:
    """Return pyenv's interpreters of a minor version, newest first."""
    versions = pyenv_root() / 'versions'
    exact = re.compile(re.escape(version) + r'\.(\d+)$')
    found = [(int(match.group(1)), name) for name in _listed(versions) if (match := exact.match(name))]
    return [str(versions / name / 'bin' / f'python{version}') for _micro, name in sorted(found, reverse=True)]


def _system(version: str) -> list[str]:
    names = [version if version.startswith('pypy') else f'python{version}', 'python3', 'python2', 'pypy3']
    return [f'{folder}/{name}' for folder in ('/usr/local/bin', '/usr/bin', UNPACKED) for name in names]


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


@functools.lru_cache(maxsize=1)
def pyenv_root() -> Path:
    """Return where pyenv keeps its versions; the folder need not exist."""
    if 'PYENV_ROOT' in os.environ:
        return Path(os.environ['PYENV_ROOT'])
    pyenv = shutil.which('pyenv')
    if pyenv is not None:
        return Path(subprocess.run([pyenv, 'root'], capture_output=True, text=True).stdout.strip() or '/')
    return Path.home() / '.pyenv'


def _runs(path: str, version: str) -> bool:
    """Whether `path` is an interpreter of that minor version, by asking it."""
    return os.access(path, os.X_OK) and _says(path) == version


@functools.cache
def _says(path: str) -> str:
    """Return the name of the version that an interpreter has, or whatever another program says."""
    return subprocess.run([path, '-Ec', ASK], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def _open_to_all(path: Path) -> bool:
    """Whether another account may run what lies at `path`."""
    if not path.exists():
        return False
    real = path.resolve()
    steps = [real, *real.parents, *path.absolute().parents]
    return all(step.stat().st_mode & stat.S_IXOTH for step in steps) and bool(real.stat().st_mode & stat.S_IROTH)


@functools.cache
def _copied(version: str) -> Interpreter:
    """Return a copy that every account can run; it lives as long as this process."""
    origin = Path(interpreters()[version]).resolve()
    prefix = origin.parent.parent
    tmp = _public_tmp()
    _sweep(tmp)
    folder = Path(tempfile.mkdtemp(prefix=f'{COPY}{os.getpid()}-{version}-', dir=tmp))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    (folder / 'bin').mkdir(mode=0o755)
    copy = folder / 'bin' / f'python{version}'
    copy.write_bytes(_relocated(origin.read_bytes(), prefix / 'lib'))
    copy.chmod(0o755)
    shutil.copytree(prefix / 'lib' / f'python{version}', folder / 'lib' / f'python{version}',
                    symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))  # fmt: skip
    for library in (prefix / 'lib').glob('libpython*.so*'):
        shutil.copy2(library, folder / 'lib' / library.name, follow_symlinks=False)
    if not _runs(str(copy), version):
        raise RuntimeError(f'the copy of {origin} in {folder} does not run')
    return Interpreter(str(copy), version)


def _sweep(tmp: str) -> None:
    """Remove copies that test runs left which were killed."""
    for folder in Path(tmp).glob(f'{COPY}*'):
        maker = folder.name[len(COPY) :].split('-')[0]
        if not os.path.exists(f'/proc/{maker}') and folder.lstat().st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)


def _relocated(program: bytes, libraries: Path) -> bytes:
    """Return the program looking for its libpython beside itself instead of at a fixed place.

    The run path is a NUL-terminated string of the ELF file, and the new one is shorter: no tool is needed.
    """
    old = os.fsencode(libraries) + b'\0'
    new = b'$ORIGIN/../lib\0'
    if len(new) > len(old):
        raise RuntimeError(f'{libraries}: no room for a relative run path')
    return program.replace(old, new.ljust(len(old), b'\0'), 1)


def _public_tmp() -> str:
    """Return a temporary folder that all accounts can enter."""
    for folder in (tempfile.gettempdir(), '/var/tmp', '/tmp'):
        if _open_to_all(Path(folder)):
            return folder
    raise RuntimeError('no temporary folder that other accounts can enter')


def main(wanted: list[str]) -> int:
    found = interpreters()
    for version in wanted or found:
        sys.stdout.write(f'{found.get(version, "")}\n')
    return 0 if set(wanted) <= set(found) else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
