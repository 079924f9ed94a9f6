"""Nothing of any kind is left on the target: seen by strace, and on targets that allow nothing."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from stops import work

import econtext
import lab
from lab import pythons

VERSIONS = ('2.7', '3.6', '3.13')
# What a child may open for writing: itself, for the name in ps, and what is no file of anybody's.
ALLOWED = ('/proc/self/mem', '/dev/null', '/dev/tty', '/dev/ptmx', '/dev/pts/')
WRITES = re.compile(r'O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND')
CALLS = (
    'openat,open,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,symlink,symlinkat,link,'
    'linkat,mknod,mknodat,truncate,chmod,fchmodat,chown,fchownat,shmget,semget,msgget,memfd_create,mq_open,bind'
)


def exercise(child: econtext.Context) -> None:
    """A little of everything that a context does."""
    assert child.call(work.echo, {'a': [1, 'ü', None]}) == {'a': [1, 'ü', None]}
    with pytest.raises(ZeroDivisionError):
        child.call(work.fail)
    channel = child.channel()
    future = child.submit(work.bounce, channel)
    channel.send('over')
    assert next(channel) == 'over'
    channel.close()
    future.result(60)
    child.call(work.say, 'printed')
    assert child.call(work.import_late)[0] == 0
    with pytest.raises(econtext.CallTimeout):
        child.options(timeout=0.2, grace=10).call(work.system)
    below = child.local()
    assert below.call(len, 'abc') == 3


@pytest.mark.parametrize('version', VERSIONS)
def test_no_file_is_written(tmp_path: Path, version: str) -> None:
    strace = shutil.which('strace') or lab.unavailable('no strace here')
    notes = tmp_path / 'strace'
    python = [strace, '-f', '-o', str(notes), '-e', f'trace={CALLS}', pythons.interpreter(version)]
    with econtext.Broker() as broker:
        child = broker.local(python=python, connect_timeout=60)
        exercise(child)
    bad = []
    for line in notes.read_text(errors='replace').splitlines():
        call = line.split(None, 1)[-1]
        # A thread that is killed where it enters a call has made none: strace does not know which it was.
        if call.startswith(('+++', '---', '<...', '???( <unfinished')) or ' = -1 ' in call:
            continue
        path = re.search(r'"([^"]*)"', call)
        if call.startswith('open') and (not WRITES.search(call) or (path and path[1].startswith(ALLOWED))):
            continue
        bad.append(call)
    assert bad == []
    assert notes.stat().st_size > 1000, 'strace saw nothing'


# A target of its own: each line is run as root of a mount namespace before the interpreter.
READ_ONLY = (
    'mount -o remount,bind,ro /; '
    'for m in $(cut -d" " -f2 /proc/mounts); do mount -o remount,bind,ro "$m" 2>/dev/null; done'
)
TARGETS: dict[str, tuple[str, str]] = {
    # name: (shell lines, how the interpreter is started)
    'read-only': (READ_ONLY, ''),
    'full': ('mount -t tmpfs -o size=4k tmpfs /tmp; head -c 8192 /dev/zero > /tmp/full 2>/dev/null; cd /tmp', ''),
    'no-shm': ('mount -t tmpfs -o size=4k,ro,mode=0 tmpfs /dev/shm', ''),
    'no-proc': ('mount -t tmpfs -o size=4k,ro tmpfs /proc', ''),
    'noexec': ('mount -t tmpfs -o noexec tmpfs /tmp; cd /tmp', ''),
    'files-16': ('ulimit -n 16', ''),
    'no-home': (':', 'env -u HOME'),
    'empty-environment': (':', 'env -i'),
    'lang-c': (':', 'env LANG=C LC_ALL=C'),
    'posix': (':', 'env LANG=POSIX LC_ALL=POSIX'),
    'no-passwd': (':', 'setpriv --reuid 54321 --regid 54321 --clear-groups'),
    'no-cwd': ('folder=$(mktemp -d); cd "$folder"; rmdir "$folder"', ''),
}


@pytest.mark.parametrize('name', TARGETS)
def test_targets_that_allow_nothing(name: str, caplog: pytest.LogCaptureFixture) -> None:
    if os.geteuid() != 0:
        lab.unavailable('only root can make such targets')
    lines, how = TARGETS[name]
    unshare = shutil.which('unshare') or lab.unavailable('no unshare here')
    version = '2.7' if name in ('read-only', 'posix') else '3.13'
    interpreter = pythons.public_python(version) if name == 'no-passwd' else pythons.interpreter(version)
    script = f'mount --make-rprivate /; {lines}; exec {how} "$0" "$@"'
    caplog.set_level(logging.INFO)
    with econtext.Broker() as broker:
        child = broker.local(python=[unshare, '-m', 'sh', '-c', script, interpreter], connect_timeout=60)
        assert child.call(work.echo, 'ü') == 'ü'
        with pytest.raises(ZeroDivisionError):
            child.call(work.fail)
        channel = child.channel()
        future = child.submit(work.bounce, channel)
        channel.send('over')
        assert next(channel) == 'over'
        channel.close()
        future.result(60)
        child.call(work.say, 'printed there')
        with pytest.raises(econtext.CallTimeout):
            child.options(timeout=1, grace=10).call(work.sleep)  # long enough to begin
        assert child.options(timeout=60).call(work.cleaned) == ['sleep']
    assert 'stdout: printed there' in [record.getMessage() for record in caplog.records]


def test_a_closed_standard_input_of_the_program() -> None:
    """Where the program itself has no standard descriptors, what is opened takes their places."""
    script = (
        'import os, sys; [os.close(fd) for fd in (0, 1, 2)]\n'
        'import econtext\n'
        'with econtext.Broker() as broker: ok = broker.local().call(len, "abc") == 3\n'
        'os._exit(0 if ok else 1)'
    )
    environ = dict(os.environ, PYTHONPATH=str(Path(econtext.__file__).resolve().parent.parent))
    pid = os.posix_spawn(sys.executable, [sys.executable, '-c', script], environ)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
