"""The laboratory: real ssh servers, accounts and interpreters for the tests.

Imported as `lab` (pytest puts `tests/` on the path). Nothing here imports econtext.

Invariants:
* What the machine lacks is a skip with its reason, and a failure where CI=true.
* Whatever a part of the laboratory starts or writes, it also ends or removes, also after a run that died.
* Waiting is for an event and has an end: `eventually`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

T = TypeVar('T')

# Seconds within which what is to happen does happen, on a machine that many others use.
SOON = 60.0
IN_CI = os.environ.get('CI', '').lower() in ('1', 'true', 'yes')

# What each component needs: programs, and whether only root can make it. Programs of the
# administrator are looked for in sbin too, which a plain account does not have on its PATH.
COMPONENTS: dict[str, tuple[tuple[str, ...], bool]] = {
    'sshd': (('sshd', 'ssh', 'ssh-keygen', 'setpriv'), False),
    'accounts': (('useradd', 'userdel', 'groupdel', 'chpasswd', 'chage', 'setpriv'), True),
    'sudo': (('sudo', 'visudo'), True),
    'doas': (('doas',), True),
    'unshare': (('unshare', 'mount'), True),
    'setpriv': (('setpriv',), True),
    'sid': (('mmdebstrap', 'apt-get', 'unshare', 'chroot'), True),
    'iptables': (('iptables', 'nsenter', 'unshare', 'ip'), True),
    'bwrap': (('bwrap',), True),
    'dropbear': (('dropbear', 'dropbearkey'), True),
    'ssh': (('ssh',), False),
    'roots': (('ldd', 'getent', 'sleep', 'sh', 'chroot', 'unshare', 'nsenter'), True),
    'lxc': (('lxc-start', 'lxc-stop', 'lxc-attach'), True),
    'nspawn': (('systemd-nspawn',), True),
    'bubblewrap': (('bwrap',), True),
    'podman': (('podman', 'runc', 'setpriv', 'tar', 'umount', 'ldd', 'sleep', 'sh'), True),
    'docker': (('docker',), True),
    'kubectl': (('kubectl',), False),
    'dash': (('dash',), False),
    'tcsh': (('tcsh',), False),
    'csh': (('csh',), False),
    'fish': (('fish',), False),
    'zsh': (('zsh',), False),
    'keys': (('git', 'ssh-keygen'), False),
    'browser': (('chromium', 'bash'), False),
}
SEARCH = os.environ.get('PATH', os.defpath) + ':/usr/local/sbin:/usr/sbin:/sbin'


def program(name: str) -> str | None:
    """Return the absolute path of a program, or None."""
    return shutil.which(name, path=SEARCH)


def need(name: str) -> str:
    """Return the absolute path of a program that `require` or `missing` has vouched for."""
    path = program(name)
    if path is None:
        raise RuntimeError(f'{name} is not installed; ask lab.require first')
    return path


def missing(component: str) -> str | None:
    """Say why a component cannot be had here; None if it can."""
    programs, needs_root = COMPONENTS[component]
    if not sys.platform.startswith('linux'):
        return f'{component}: the laboratory needs Linux'
    absent = [name for name in programs if program(name) is None]
    if absent:
        return f'{component}: not installed: {", ".join(absent)}'
    if needs_root and os.geteuid() != 0:
        return f'{component}: only root can make it'
    return None


def unavailable(reason: str) -> NoReturn:
    """Skip the test; in CI, where everything must be there, fail it."""
    import pytest  # here, for the demonstration uses the laboratory without it

    if IN_CI:
        pytest.fail(f'{reason} (CI=true: nothing may be missing)', pytrace=False)
    pytest.skip(reason)


def require(*components: str) -> None:
    """Go on if all components can be had; else skip, or fail in CI."""
    for component in components:
        reason = missing(component)
        if reason is not None:
            unavailable(reason)


def require_modules(*names: str) -> None:
    """Go on if all modules are installed; else skip, or fail in CI."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if absent:
        unavailable(f'not installed: {", ".join(absent)}')


def open_to_all(folder: Path) -> None:
    """Let other users reach `folder`, which lies somewhere in the folder for temporary files."""
    root = Path(tempfile.gettempdir())
    for each in folder, *folder.parents:
        if each == root or root not in each.parents:
            break
        each.chmod(each.stat().st_mode | 0o055)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: how long that takes is a matter of what other tests have left."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def eventually(predicate: Callable[[], T], seconds: float = SOON, what: str = '') -> T:
    """Ask until the answer is true and return it; AssertionError when the time is over."""
    end = time.monotonic() + seconds
    pause = 0.001
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() >= end:
            raise AssertionError(f'not within {seconds} s: {what or predicate!r}')
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
