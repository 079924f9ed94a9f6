"""A root of Debian's unstable suite: a current OpenSSH, sudo-rs and Python, which this machine's suite has not.

Invariants:
* The root is made once for a clone, under `.venv`, and belongs to it like the rest there; nothing in it runs
  but what a test starts.
* Mounts live in a namespace that ends with the command.

Needs root, mmdebstrap and apt's sources.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab import eventually, need, require
from lab.sshd import CLIENT, make_key, reserved_port

ROOT = Path(__file__).resolve().parents[2] / '.venv' / '.lab' / 'sid'
PACKAGES = 'openssh-server,openssh-client,sudo-rs,python3-minimal,dash,coreutils,bash'
ACCOUNTS = {'rsu': 1000, 'nopw': 1001}
PASSWORD = 'pw-rsu'
# Of that password, so that no tool is needed.
HASH = '$6$econtext$394g6UHSgKRsbpWhcrPk557qfe5QCxQofVVZaBlyWUgtq5hGS9f5rN3MFRhi2VF50xZ2ygqSyNAbvVVYjpIZJ0'
FILES = {
    'passwd': 'root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n'
              'rsu:x:1000:1000::/home/rsu:/bin/sh\nnopw:x:1001:1001::/home/nopw:/bin/bash\n',
    'group': 'root:x:0:\nshadow:x:42:\nnogroup:x:65534:\nrsu:x:1000:\nnopw:x:1001:\n',
    'shadow': f'root:*:20000::::::\nsshd:*:20000::::::\nrsu:{HASH}:20000::::::\nnopw:{HASH}:20000::::::\n',
    'nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files\n',
    'pam.d/other': 'auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_unix.so\n',
    'sudoers-rs': 'rsu ALL=(ALL:ALL) ALL\nnopw ALL=(ALL:ALL) NOPASSWD: ALL\n',
    'hosts': '127.0.0.1 localhost\n',
}  # fmt: skip
SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/host
PidFile /sshd-{port}.pid
AuthorizedKeysFile /etc/ssh/id.pub
StrictModes no
UsePAM yes
PerSourcePenalties no
"""
ENTER = (
    'r=$1; shift; mount -t proc proc "$r/proc" && mount --rbind /dev "$r/dev" && mount -t tmpfs tmpfs "$r/run" && '
    'mkdir -p "$r/run/sshd" && exec chroot "$r" "$@"'
)


def root() -> Path:
    """Return the root; make it if it is not there. About 15 seconds, 130 MB."""
    require('sid')
    ROOT.parent.mkdir(parents=True, exist_ok=True)
    with open(ROOT.parent / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (ROOT / 'etc' / 'sudoers-rs').exists():
            shutil.rmtree(ROOT, ignore_errors=True)
            _extract()
            _furnish()
    return ROOT


def enter(*command: str) -> list[str]:
    """Return a command line that runs `command` within the root, as root."""
    return [need('unshare'), '-m', '--propagation', 'private', need('sh'), '-c', ENTER, 'enter', str(ROOT), *command]


def enter_as(user: str, *command: str) -> list[str]:
    """Return the same as an account of the root: `rsu`, whom sudo asks for a password, or `nopw`."""
    number = ACCOUNTS[user]
    become = ['/usr/sbin/chroot', f'--userspec={number}:{number}', '--groups=', '/']
    return enter(*become, '/usr/bin/env', '-i', f'HOME=/home/{user}', 'PATH=/usr/bin:/bin', *command)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[list[str]]:
    """Run the root's sshd; yield what an ssh client needs before `lab`. Its client takes the same, see `client`."""
    with reserved_port() as port:
        yield from _serve(folder, port)


def _serve(folder: Path, port: int) -> Iterator[list[str]]:
    home = root() / 'etc' / 'ssh'
    config, pid = home / f'sshd-{port}', ROOT / f'sshd-{port}.pid'
    config.write_text(SERVER.format(port=port))
    kind, key = (home / 'host.pub').read_text().split()[:2]
    known = home / f'known-{port}'
    known.write_text(f'[127.0.0.1]:{port} {kind} {key}\n')
    text = CLIENT.format(address='127.0.0.1', port=port, key=home / 'id', known_hosts=known)
    (folder / 'ssh_config').write_text(text)
    (home / f'config-{port}').write_text(text.replace(str(ROOT), ''))
    argv = [need('setpriv'), '--pdeathsig', 'TERM', *enter('/usr/sbin/sshd', '-D', '-e', '-f', f'/etc/ssh/sshd-{port}')]
    with open(folder / 'log', 'wb') as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        eventually(lambda: process.poll() is not None or pid.exists(), what=f'{folder}/log')
        assert process.poll() is None, (folder / 'log').read_text()
        yield ['-F', str(folder / 'ssh_config')]
    finally:
        process.terminate()
        process.wait(60)
        for path in (config, known, home / f'config-{port}', pid):
            path.unlink(missing_ok=True)


def client(folder: Path) -> Path:
    """Return a program that is the root's ssh; in place of -F and a file it takes those of `server(folder)`."""
    program = folder / 'ssh'
    port = re.findall('Port (.*)', (folder / 'ssh_config').read_text())[0]
    line = ' '.join(f"'{word}'" for word in enter('/usr/bin/ssh'))
    program.write_text(f'#!/bin/sh\nshift 2\nexec {line} -F /etc/ssh/config-{port} "$@"\n')
    program.chmod(0o755)
    return program


def _extract() -> None:
    mirror = _run('apt-get', 'indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages', 'Label: Debian')
    stale = '--aptopt=Acquire::Check-Valid-Until "false"'
    plain = '--aptopt=Acquire::Languages "none"'
    _run('mmdebstrap', '--quiet', '--variant=extract', stale, plain, f'--include={PACKAGES}', 'sid', str(ROOT),
         mirror.splitlines()[0])  # fmt: skip


def _furnish() -> None:
    """Write what the packages' own scripts would have."""
    for user, number in ACCOUNTS.items():
        (ROOT / 'home' / user).mkdir(parents=True, exist_ok=True)
        os.chown(ROOT / 'home' / user, number, number)
    for name in ('host', 'id'):
        make_key(ROOT / 'etc' / 'ssh' / name)
    for name in ('sshd', 'sudo', 'sudo-i', 'su'):
        (ROOT / 'etc' / 'pam.d' / name).unlink(missing_ok=True)
    for name, text in FILES.items():
        (ROOT / 'etc' / name).write_text(text)
    (ROOT / 'etc' / 'shadow').chmod(0o640)
    for name in ('sudo', 'su'):
        (ROOT / 'usr' / 'lib' / 'cargo' / 'bin' / name).chmod(0o4755)
    (ROOT / 'etc' / 'sudoers-rs').chmod(0o440)


def _run(name: str, *arguments: str) -> str:
    done = subprocess.run([need(name), *arguments], capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f'{name}: exit status {done.returncode}: {done.stderr[-2000:]}')
    return done.stdout
