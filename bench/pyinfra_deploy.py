"""A deployment of 38 operations by pyinfra, with `@ssh` and with `@econtext`, in turns; see docs/howto/pyinfra.md.

    python -m bench.pyinfra_deploy PYTHON [--rounds N]

PYTHON is that of an environment that has pyinfra, and econtext as it is built: `pip install './econtext[pyinfra]'`.
As root: the server is a private one, and the account that is connected may use sudo without a password.  Each row tells
the medians of wall time, and of processor time of pyinfra and of the server, each with all that it starts.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / 'tests'))
from lab import open_to_all
from lab.accounts import Accounts
from lab.sshd import Sshd

DEPLOYMENT = '''
from io import StringIO
from pyinfra import host
from pyinfra.facts.server import Hostname, Kernel
from pyinfra.operations import files, server
base = host.data.base
host.get_fact(Hostname)
host.get_fact(Kernel)
files.directory(path=base)
for number in range(8):
    files.directory(path=f'{base}/{number}')
for number in range(6):
    files.put(src=StringIO(f'content {number}\\n' * 50), dest=f'{base}/{number}/put')
for number in range(4):
    files.line(path=f'{base}/{number}/put', line=f'added {number}')
for number in range(6):
    server.shell(commands=[f'echo run {number} >> {base}/log'])
files.link(path=f'{base}/link', target=f'{base}/0')
files.file(path=f'{base}/touch', mode='600')
for number in range(8):
    server.shell(commands=[f'id -u >> {base}/rootlog'], _sudo=True)
for number in range(2):
    files.put(src=StringIO(f'root {number}\\n'), dest=f'{base}/root{number}', mode='640', _sudo=True)
files.directory(path=base, present=False, _sudo=True)
'''
SUBREAPER = 36      # prctl(PR_SET_CHILD_SUBREAPER)


class Meter:
    """Processor seconds of a server and all below it, which ends before it is asked."""

    def __init__(self, server: Sshd) -> None:
        assert server._process is not None
        self.server = server._process.pid
        ctypes.CDLL(None).prctl(SUBREAPER, 1)

    def read(self) -> float:
        """Return those of the server and what it waited for."""
        fields = Path(f'/proc/{self.server}/stat').read_text().rpartition(')')[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf('SC_CLK_TCK')


def orphans(known: int) -> float:
    """Wait for adopted processes; return their processor seconds."""
    seconds = 0.0
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return seconds
        if not pid:
            return seconds
        assert pid != known, 'the server has ended'
        seconds += usage.ru_utime + usage.ru_stime


def turn(python: Path, connector: str, server: Sshd, user: str, folder: Path, meter: Meter) -> tuple[float, ...]:
    began, far = time.monotonic(), meter.read()
    process = subprocess.Popen(
        [str(python.parent / 'pyinfra'), '-y', f'@{connector}/127.0.0.1', '--data', f'ssh_port={server.port}',
         '--data', f'ssh_key={server.key}', '--data', f'ssh_known_hosts_file={server.known_hosts}',
         '--data', f'ssh_user={user}', '--data', f'base={folder}/made', 'deploy.py'],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    if status:
        sys.exit(output.decode())
    adopted = 0.0
    end = time.monotonic() + 3
    while server.sessions() or time.monotonic() < end - 2:
        adopted += orphans(meter.server)
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    near = usage.ru_utime + usage.ru_stime
    return wall, near, meter.read() - far + adopted


def main() -> None:
    parser = argparse.ArgumentParser('python -m bench.pyinfra_deploy', description=__doc__)
    parser.add_argument('python', type=Path)
    parser.add_argument('--rounds', type=int, default=5)
    given = parser.parse_args()
    found: dict[str, list[tuple[float, ...]]] = {'ssh': [], 'econtext': []}
    with tempfile.TemporaryDirectory() as name, Accounts() as accounts, Sshd(Path(name) / 'sshd') as server:
        folder = Path(name)
        folder.chmod(0o777)
        open_to_all(folder)
        (folder / 'deploy.py').write_text(DEPLOYMENT)
        meter = Meter(server)
        for _ in range(given.rounds):
            for connector, rows in found.items():
                rows.append(turn(given.python.absolute(), connector, server, accounts['nopw'].name, folder, meter))
    print('| connector | wall | processor, pyinfra | processor, host |')
    print('|---|--:|--:|--:|')
    for connector, rows in found.items():
        medians = [statistics.median(each) for each in zip(*rows, strict=True)]
        print(f'| `@{connector}` |', ' | '.join(f'{each:.2f} s' for each in medians), '|')
    least = {connector: [min(each) for each in zip(*rows, strict=True)] for connector, rows in found.items()}
    print('least:', {connector: [f'{each:.2f}' for each in values] for connector, values in least.items()})


if __name__ == '__main__':
    main()
