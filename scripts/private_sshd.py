"""Runs a command while a private ssh server runs on the loopback.

    python scripts/private_sshd.py COMMAND [ARGUMENT …]

The command gets the arguments that bring an ssh client to that server appended: -F CONFIG lab.
Exit status: the command's; 69 where no ssh server is installed, or it lets nobody in.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'tests'), str(HERE)]

from lab import missing  # noqa: E402 -- found through the line above
from lab.sshd import Sshd  # noqa: E402

UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h


def main(command: list[str]) -> int:
    reason = missing('sshd')
    if reason is not None:
        sys.stderr.write(reason + '\n')
        return UNAVAILABLE
    with tempfile.TemporaryDirectory(prefix='econtext-sshd-') as folder, Sshd(Path(folder)) as server:
        # A locked account, or one whose shell runs nothing, is refused by a server that plain accounts can start.
        check = subprocess.run(['ssh', *server.ssh_args(), 'lab', 'true'], capture_output=True, text=True)
        if check.returncode != 0:
            sys.stderr.write(f'this account cannot log in by ssh: {check.stderr.strip()}\n')
            return UNAVAILABLE
        print(f'scripts/private_sshd.py: an ssh server of our own, {server.address} port {server.port}', flush=True)
        return subprocess.run([*command, *server.ssh_args(), 'lab']).returncode


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
