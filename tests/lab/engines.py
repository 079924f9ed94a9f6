"""Container engines of the test's own: Podman, and Docker's client on Podman's socket.

Invariants:
* Everything lies in one folder. No container has a network, and no bridge, rule or service of the machine is made.
* After `stop` no container, mount or process of the engine is left.
* It works where cgroups are of both versions, and without the right to raise limits.

Needs root.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType

from lab import eventually, leaks, need, roots

IMAGE = 'localhost/lab:1'
SLEEP = ('/bin/sleep', '1000000')
# The first process of a container has to wait for its orphans, which sleep does not.
FOREVER = ('/usr/bin/python3', '-Sc', """
import os, time
while True:
    try:
        os.waitpid(-1, 0)
    except OSError:
        time.sleep(0.2)
""")  # fmt: skip
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "none"
log_driver = "none"
init = false
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{directory}/root"
runroot = "{directory}/run"
"""


class Podman:
    """Podman with one running container, `box`, and the image `IMAGE`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / 'rootfs'
        self.path = str(directory / 'podman')  # the client, which finds this engine whoever starts it
        self.socket = directory / 'podman.sock'
        self._service: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> str:
        """Run the client to its end and return what it printed; CalledProcessError where it fails."""
        return subprocess.run([self.path, *arguments], check=True, stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, text=True).stdout  # fmt: skip

    def version(self) -> str:
        return ' '.join(self.run('--version').split()[::2])

    def containers(self) -> list[str]:
        """Return the names of all containers, in whatever state."""
        return self.run('ps', '-a', '--format', '{{.Names}}').split()

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        roots.make(self.root)
        (self.directory / 'containers.conf').write_text(CONTAINERS)
        (self.directory / 'storage.conf').write_text(STORAGE.format(directory=self.directory))
        client = Path(self.path)
        client.write_text(
            f'#!/bin/sh\nCONTAINERS_CONF={self.directory}/containers.conf\n'
            f'CONTAINERS_STORAGE_CONF={self.directory}/storage.conf\n'
            f'export CONTAINERS_CONF CONTAINERS_STORAGE_CONF\nexec {need("podman")} "$@"\n'
        )
        client.chmod(0o755)
        tar = self.directory / 'image.tar'
        subprocess.run([need('tar'), '-C', str(self.root), '-cf', str(tar), '.'], check=True)
        self.run('import', '-q', str(tar), IMAGE)
        tar.unlink()
        self.run('run', '-d', '--name', 'box', IMAGE, *FOREVER)

    def serve(self) -> str:
        """Serve Docker's protocol as well; return where, as DOCKER_HOST has it."""
        if self._service is None:
            with open(self.directory / 'service.log', 'ab') as log:
                self._service = subprocess.Popen(
                    [need('setpriv'), '--pdeathsig', 'TERM', self.path, 'system', 'service', '-t', '0',
                     f'unix://{self.socket}'],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            eventually(self.socket.exists, what=f'{self.socket} is there')
        return f'unix://{self.socket}'

    def sweep(self) -> None:
        """End the monitors of commands that have ended: through the socket each would stay for five minutes."""
        for entry in self._monitors():
            of = re.search(r' -c (\w+) -u (\w+) ', leaks.command_line(entry.pid))
            alive = [child.pid for child in leaks.descendants(entry.pid) if leaks.alive(child.pid)]
            below = [leaks.command_line(pid) for pid in alive]
            # Below is at most its own copy that waits out the five minutes, and what it then runs.
            if of and of[1] != of[2] and all('/conmon ' in line or 'podman ' in line for line in below):
                _end(entry.pid)

    def stop(self) -> None:
        try:
            subprocess.run([self.path, 'rm', '-a', '-f', '-t', '0'], stdin=subprocess.DEVNULL, timeout=60,
                           stdout=subprocess.DEVNULL)  # fmt: skip
        finally:
            service, self._service = self._service, None
            if service is not None:
                service.terminate()
                service.wait(60)
            for entry in self._monitors():
                _end(entry.pid)
            # A monitor may have begun a client that cleans up: it mounts what is unmounted here.
            eventually(lambda: not self._clients(), what='the clients of the engine end')
            unmount(self.directory)
            shutil.rmtree(self.directory)
            remove_groups('libpod_parent')

    def _monitors(self) -> list[leaks.Process]:
        return [entry for entry in leaks.table()
                if '/conmon ' in (line := leaks.command_line(entry.pid)) and f'{self.directory}/' in line]  # fmt: skip

    def _clients(self) -> list[int]:
        """
        Return the processes that were told of this engine.

        A client that a test starts has the engine in its environment. One that a monitor starts has `--root`, but no
        `storage.conf`. A client that just begins shows neither.
        """
        found = []
        for entry in leaks.table():
            process = Path(f'/proc/{entry.pid}')
            try:
                told = (process / 'cmdline').read_bytes() + (process / 'environ').read_bytes()
                program = os.readlink(process / 'exe')
            except OSError:
                # A thread of the kernel, or a process that has just ended.
                continue
            begins = not told and program.endswith('/podman')
            if entry.pid != os.getpid() and (begins or f'{self.directory}/'.encode() in told):
                found.append(entry.pid)
        return found

    def __enter__(self) -> Podman:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def unmount(directory: Path) -> None:
    """Detach whatever is mounted below a folder."""
    mounts = [line.split()[1] for line in Path('/proc/mounts').read_text().splitlines()]
    for mount in sorted(mounts, reverse=True):
        if mount.startswith(f'{directory}/'):
            subprocess.run([need('umount'), '-l', mount], check=True)


def remove_groups(name: str) -> None:
    """Remove the control groups of an engine that are empty."""
    for folder in Path('/sys/fs/cgroup').glob(f'*/{name}'):
        for inner, _folders, _files in os.walk(folder, topdown=False):
            try:
                os.rmdir(inner)
            except OSError:
                continue


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    eventually(lambda: not leaks.alive(pid), what=f'process {pid} ends')
