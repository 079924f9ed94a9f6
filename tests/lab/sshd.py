"""A private OpenSSH server on the loopback, and the client's side of it.

Started by root, one client key opens every account, and each account's password is accepted.
Started by a plain account, the key opens that account only. The server is the test process's
child, and the kernel ends it should the test process die first.

Invariants:
* Nothing of the machine's own ssh configuration is read or written.
* `start` returns when the port answers with this server's host key, or raises with the server's last words.
* After `stop` no process of the server or of its sessions runs.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from lab import eventually, leaks, need

SERVER = """\
{options}
Port {port}
ListenAddress {address}
HostKey {directory}/host
PidFile {directory}/sshd.pid
{admission}
KbdInteractiveAuthentication no
PrintMotd no
UseDNS no
LogLevel VERBOSE
Subsystem sftp internal-sftp
# The default 10:30:100 drops connections when many come at once, 10 sessions end a fan-out over one master.
MaxStartups 1000:30:1000
MaxSessions 1000
"""
# By a command, for sshd reads a file as the account that logs in, and the folder is closed to it.
ADMIT_ALL = """\
AuthorizedKeysFile none
AuthorizedKeysCommand {cat} {directory}/id.pub
AuthorizedKeysCommandUser root
PermitRootLogin prohibit-password
PasswordAuthentication yes
UsePAM yes
"""
ADMIT_SELF = """\
AuthorizedKeysFile {directory}/id.pub
StrictModes no
PasswordAuthentication no
UsePAM no
"""
# A server since 9.8 shuts out addresses that fail to log in, which tests do on purpose; older ones know no such word.
PATIENT = 'PerSourcePenalties no\n'

CLIENT = """\
Host lab lab-*
  HostName {address}
Host *
  Port {port}
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile {known_hosts}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  ControlMaster no
  ControlPath none
"""


class Sshd:
    """
    A server in `directory`. `options` are lines of sshd_config that win over ours.

    `program` is another path of sshd; by its last part PAM knows the service.
    """

    def __init__(
        self, directory: Path, options: Sequence[str] = (), address: str = '127.0.0.1', program: str = ''
    ) -> None:
        self.directory = directory
        self.address = address
        self.program = program or need('sshd')
        self.port = 0
        self.options = tuple(options)
        self.config = directory / 'ssh_config'
        self.key = directory / 'id'
        self.known_hosts = directory / 'known_hosts'
        self.log = directory / 'sshd.log'
        self._process: subprocess.Popen[bytes] | None = None
        self._holder: socket.socket | None = None

    def ssh_args(self, user: str | None = None) -> list[str]:
        """Return what an ssh client needs before the host's name to come here and nowhere else."""
        return ['-F', str(self.config), *(['-l', user] if user else [])]

    def start(self) -> None:
        """Serve. On the port of the last time, if there was one."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.makedirs('/run/sshd', 0o755, exist_ok=True)
        if not self.port:
            # Kept: between its choice and the server's start nobody else is to get it.
            self._holder = reserve(self.address)
            self.port = self._holder.getsockname()[1]
        self._make_keys()
        self._write_client()
        config = self._write_server()
        (self.directory / 'sshd.pid').unlink(missing_ok=True)
        with open(self.log, 'ab') as log:
            self._process = subprocess.Popen(
                [need('setpriv'), '--pdeathsig', 'TERM', self.program, '-D', '-e', '-f', str(config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            eventually(self._listening, what=f'{self.log} names no listening server')
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, then its sessions and what still runs in them."""
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.close()
        server, self._process = self._process, None
        if server is None:
            return
        sessions = leaks.descendants(server.pid)
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        for entry in sessions:
            _end(entry)

    def fingerprint(self) -> str:
        """Return the fingerprint of the server's key, as ssh shows it."""
        public = base64.b64decode((self.directory / 'host.pub').read_text().split()[1])
        return 'SHA256:' + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip('=')

    def sessions(self) -> list[int]:
        """Return the numbers of the server's own processes, one or two for each connection."""
        if self._process is None:
            return []
        return [entry.pid for entry in leaks.descendants(self._process.pid)
                if leaks.command_line(entry.pid).startswith('sshd')]  # fmt: skip

    def cut(self) -> None:
        """Break every connection from the server's end, without a farewell."""
        for pid in self.sessions():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def give_client(self, home: Path, uid: int, gid: int) -> None:
        """Let an account of this machine come here by a plain `ssh lab`: a hop's own configuration."""
        folder = home / '.ssh'
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.key, folder / 'id')
        shutil.copy(self.known_hosts, folder / 'known_hosts')
        (folder / 'config').write_text(self._client(folder / 'id', folder / 'known_hosts'))
        for path in (folder, *folder.iterdir()):
            os.chown(path, uid, gid)
            path.chmod(0o700 if path is folder else 0o600)

    def __enter__(self) -> Sshd:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # -- pieces --------------------------------------------------------------

    def _make_keys(self) -> None:
        for name in ('host', 'id'):
            if not (self.directory / name).exists():
                make_key(self.directory / name)

    def _write_client(self) -> None:
        kind, key = (self.directory / 'host.pub').read_text().split()[:2]
        self.known_hosts.write_text(f'[{self.address}]:{self.port} {kind} {key}\n')
        self.config.write_text(self._client(self.key, self.known_hosts))

    def _client(self, key: Path, known_hosts: Path) -> str:
        return CLIENT.format(address=self.address, port=self.port, key=key, known_hosts=known_hosts)

    def _write_server(self) -> Path:
        config = self.directory / 'sshd_config'
        admission = ADMIT_ALL if os.geteuid() == 0 else ADMIT_SELF
        text = SERVER.format(
            options='\n'.join(self.options), port=self.port, address=self.address, directory=self.directory,
            admission=admission.format(cat=need('cat'), directory=self.directory),
        )  # fmt: skip
        config.write_text(text + PATIENT)
        check = [self.program, '-t', '-f', str(config)]
        if subprocess.run(check, capture_output=True).returncode != 0:
            config.write_text(text)
            subprocess.run(check, check=True)
        return config

    def _listening(self) -> bool:
        """Whether the server wrote its number, which it does when it listens; raise if it ended instead."""
        assert self._process is not None
        if self._process.poll() is not None:
            self._process = None
            raise RuntimeError(f'sshd ended: {self.log.read_text()[-2000:]}')
        try:
            return (self.directory / 'sshd.pid').read_text().strip() == str(self._process.pid)
        except FileNotFoundError:
            return False


def make_key(path: Path) -> None:
    """Write a new key pair without a passphrase."""
    subprocess.run([need('ssh-keygen'), '-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', str(path)], check=True)


@contextlib.contextmanager
def reserved_port(address: str = '127.0.0.1') -> Iterator[int]:
    """Yield a port at which nobody listens, and that the system gives to nobody else meanwhile."""
    with reserve(address) as holder:
        port: int = holder.getsockname()[1]
        yield port


def reserve(address: str, port: int = 0) -> socket.socket:
    """
    Return what holds a port until it is closed. Who connects there is refused.

    Who asks for that very port gets it all the same, for it has SO_REUSEADDR, as servers have, and does not listen.
    """
    holder = socket.socket()
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address, port))
    except BaseException:
        holder.close()
        raise
    return holder


def _end(entry: leaks.Process) -> None:
    found = leaks.process(entry.pid)
    if found is None or found.started != entry.started:
        return
    try:
        os.kill(entry.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    eventually(lambda: not leaks.alive(entry.pid), what=f'{entry} ends')
