"""A root for containers, made in a second from what this machine runs: a Python, a shell, what both load.

Nothing is fetched. It holds the interpreter at its own path and as /usr/bin/python3, /bin/sh, /bin/sleep,
getent, /etc/passwd with `root` and `app`, and /etc/box, by whose text a test knows that it is inside.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from lab import need

LEFT_OUT = tuple(
    'test tests site-packages dist-packages idlelib tkinter turtledemo ensurepip lib2to3 pydoc_data __pycache__ '
    'config-* *.a asyncio concurrent curses dbm distutils email html http msilib multiprocessing sqlite3 tomllib '
    'unittest venv wsgiref xml xmlrpc _tkinter.* _sqlite3.* _curses* readline.* _test* _xxtest* _ssl.* _dbm.* _gdbm.* '
    'nis.* ossaudiodev.* _codecs_* pyexpat.* _elementtree.*'.split()
)
PASSWD = 'root:x:0:0:root:/root:/bin/sh\napp:x:1234:1234:app:/tmp:/bin/sh\n'
APP = 1234


def make(root: Path, *, shell: bool = True, python: bool = True, name: str = 'lab') -> Path:
    """Make the root and return it; without its shell or its interpreter if so wished."""
    for folder in ('proc', 'sys', 'dev', 'run', 'tmp', 'etc', 'root', 'usr/bin', 'usr/lib', 'usr/lib64', 'var/tmp'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for link in ('bin', 'lib', 'lib64'):
        (root / link).symlink_to(f'usr/{link}')
    (root / 'tmp').chmod(0o1777)
    (root / 'etc' / 'passwd').write_text(PASSWD)
    (root / 'etc' / 'group').write_text('root:x:0:\napp:x:1234:\n')
    (root / 'etc' / 'box').write_text(name)
    _add(root, Path(need('sleep')).resolve(), 'usr/bin/sleep')
    _add(root, Path(need('getent')).resolve(), 'usr/bin/getent')
    if shell:
        _add(root, Path(need('sh')).resolve(), 'usr/bin/sh')
    if python:
        _add_python(root)
    root.chmod(0o755)
    return root


def _add_python(root: Path) -> None:
    program = Path(getattr(sys, '_base_executable', sys.executable)).resolve()
    library = Path(sysconfig.get_path('stdlib', vars={'installed_base': sys.base_prefix}))
    shutil.copytree(library, root / str(library)[1:], ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
    _add(root, program, str(program)[1:])
    if str(program) != '/usr/bin/python3':
        (root / 'usr/bin/python3').symlink_to(program)
    _add_libraries(root, *(root / str(library)[1:] / 'lib-dynload').glob('*.so'))


def _add(root: Path, program: Path, where: str) -> None:
    target = root / where
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, target)
    _add_libraries(root, program)


def _add_libraries(root: Path, *programs: Path) -> None:
    done = subprocess.run([need('ldd'), *map(str, programs)], capture_output=True, text=True)
    for path in re.findall(r'(/\S+) \(0x', done.stdout):
        target = root / path[1:]
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
