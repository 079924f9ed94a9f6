"""Containers of LXC, of LXD and of Docker's own engine, of the test's own.

Invariants:
* Everything lies in one folder, but for control groups, which are removed. Nothing has a network.
* After `stop` no container, mount or process is left.

Needs root. LXD is needed by whoever makes an `Lxd` only, and Docker's engine by who makes a `Docker`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from lab import eventually, leaks, need, roots
from lab.engines import FOREVER, IMAGE, SLEEP, remove_groups, unmount

LXC = """\
lxc.uts.name = {name}
lxc.rootfs.path = dir:{root}
lxc.net.0.type = empty
lxc.mount.auto = proc:mixed sys:ro
lxc.apparmor.profile = unconfined
"""
PRESEED = """\
storage_pools:
- {name: default, driver: dir}
profiles:
- name: default
  devices:
    root: {path: /, pool: default, type: disk}
"""
METADATA = """\
architecture: x86_64
creation_date: 1700000000
properties: {os: lab, release: lab, description: lab}
"""


class Lxc:
    """LXC with a container that runs, `box`, and one that does not, `idle`: both with this process's number."""

    def __init__(self, directory: Path, more: str = '') -> None:
        self.directory = directory
        #: More lines of the configuration of both.
        self.more = more
        self.args = [f'--lxcpath={directory}/containers']
        self.box, self.idle = f'box-{os.getpid()}', f'idle-{os.getpid()}'

    def start(self) -> None:
        root = roots.make(self.directory / 'rootfs')
        (root / 'etc' / 'fstab').touch()
        for name in (self.box, self.idle):
            folder = self.directory / 'containers' / name
            folder.mkdir(parents=True)
            (folder / 'config').write_text(LXC.format(name=name, root=root) + self.more)
        subprocess.run([need('lxc-start'), *self.args, '-n', self.box, '--', *FOREVER], check=True, timeout=60,
                       stdin=subprocess.DEVNULL)  # fmt: skip

    def stop(self) -> None:
        subprocess.run([need('lxc-stop'), *self.args, '-n', self.box, '-k'], timeout=60)
        unmount(self.directory)
        shutil.rmtree(self.directory)
        for name in ('lxc.pivot', f'lxc.payload.{self.box}', f'lxc.monitor.{self.box}'):
            remove_groups(name)

    def __enter__(self) -> Lxc:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class Lxd:
    """LXD with an instance that runs, `box`, and one that does not, `idle`. Its client wants LXD_DIR=state."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / 'state'
        self._server: subprocess.Popen[bytes] | None = None

    def client(self, *arguments: str, given: str = '') -> None:
        self._run('lxc', *arguments, given=given)

    def start(self) -> None:
        self.state.mkdir(parents=True)
        root = roots.make(self.directory / 'rootfs')
        with open(self.directory / 'log', 'ab') as log:
            # As it starts it looks for a server of images: it gets a network with nothing in it.
            self._server = subprocess.Popen(
                [need('unshare'), '-n', need('lxd'), '--group', 'root'], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, env={**os.environ, 'LXD_DIR': str(self.state)},
            )  # fmt: skip
        eventually(self._answers, what=f'{self.state} answers')
        self._run('lxd', 'init', '--preseed', given=PRESEED)
        (self.directory / 'metadata.yaml').write_text(METADATA)
        tars = f'{self.directory}/meta.tar', f'{self.directory}/root.tar'
        for tar, folder, what in zip(tars, (self.directory, root), ('metadata.yaml', '.'), strict=True):
            subprocess.run([need('tar'), '-C', str(folder), '-cf', tar, what], check=True)
        self.client('image', 'import', '-q', *tars, '--alias', 'lab')
        own = ['-c', 'security.privileged=true', '-c', f'raw.lxc=lxc.init.cmd = {" ".join(SLEEP)}']
        self.client('launch', '-q', 'lab', 'box', *own)
        self.client('init', '-q', 'lab', 'idle')

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            for arguments in (('delete', '-f', 'box'), ('delete', '-f', 'idle'), ('image', 'delete', 'lab')):
                self.client(*arguments)
            below = leaks.descendants(server.pid)
            self._run('lxd', 'shutdown')
            server.wait(60)
            for entry in below:
                eventually(lambda pid=entry.pid: not leaks.alive(pid), what=f'{entry} ends')  # type: ignore[misc]
        unmount(self.directory)
        shutil.rmtree(self.directory)
        remove_groups('lxc.pivot')

    def _answers(self) -> bool:
        try:
            self.client('query', '/1.0')
        except subprocess.CalledProcessError:
            return False
        return True

    def _run(self, name: str, *arguments: str, given: str = '') -> None:
        subprocess.run([need(name), *arguments], check=True, input=given.encode(), capture_output=True, timeout=60,
                       env={**os.environ, 'LXD_DIR': str(self.state)})  # fmt: skip

    def __enter__(self) -> Lxd:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class Docker:
    """Docker's engine with a container that runs, `box`, one that does not, `idle`, and the image `IMAGE`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.host = f'unix://{directory}/socket'
        self._server: subprocess.Popen[bytes] | None = None

    def client(self, *arguments: str, given: bytes = b'') -> str:
        return subprocess.run([need('docker'), '-H', self.host, *arguments], check=True, input=given,
                              capture_output=True, timeout=60).stdout.decode()  # fmt: skip

    def start(self) -> None:
        root = roots.make(self.directory / 'rootfs')
        folders = ['--data-root', f'{self.directory}/data', '--exec-root', f'{self.directory}/exec', '--pidfile',
                   f'{self.directory}/pid', '-H', self.host]  # fmt: skip
        aloof = '--bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false'.split()
        with open(self.directory / 'log', 'ab') as log:
            self._server = subprocess.Popen(
                [need('dockerd'), *folders, *aloof, '--default-ulimit', 'nofile=1024:1024'], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        eventually(self._answers, what=f'{self.host} answers')
        tar = subprocess.run([need('tar'), '-C', str(root), '-c', '.'], check=True, capture_output=True).stdout
        self.client('import', '-', IMAGE, given=tar)
        self.client('run', '-d', '--name', 'box', '--network', 'none', IMAGE, *FOREVER)
        self.client('create', '--name', 'idle', '--network', 'none', IMAGE, *FOREVER)

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self.client('rm', '-f', 'box', 'idle')
            below = leaks.descendants(server.pid)
            server.terminate()
            server.wait(60)
            for entry in below:
                eventually(lambda pid=entry.pid: not leaks.alive(pid), what=f'{entry} ends')  # type: ignore[misc]
        unmount(self.directory)
        shutil.rmtree(self.directory)
        remove_groups('docker')

    def _answers(self) -> bool:
        try:
            self.client('version')
        except subprocess.CalledProcessError:
            return False
        return True

    def __enter__(self) -> Docker:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
