"""The floor of a connection: an interpreter that is started and ends, locally or by a plain ssh."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.contender import Contender


class Adapter(Contender):
    title = 'python -c'

    def run(self, code: str = 'pass') -> None:
        """Start an interpreter and wait for its end."""
        argv = [self.ground.python, '-c', code]
        process = os.posix_spawn(argv[0], argv, os.environ)
        assert os.waitpid(process, 0)[1] == 0

    def run_ssh(self, command: str) -> bytes:
        """Run a command on the server."""
        return subprocess.run(
            ['ssh', '-F', self.ground.ssh_config, 'lab', command], stdout=subprocess.PIPE, check=True,
        ).stdout  # fmt: skip

    def run_many_ssh(self, command: str, count: int) -> None:
        """Run a command on the server `count` times at once."""
        words = ['xargs', '-P', str(count), '-I', '{}', 'ssh', '-F', self.ground.ssh_config, '-n', '{}', command]
        subprocess.run(words, input=b'lab\n' * count, check=True)

    @contextlib.contextmanager
    def shared(self) -> Iterator[Callable[[], object]]:
        """Yield what runs a command over the connection of an ssh that runs meanwhile."""
        control = str(Path(self.ground.folder) / f'control-{os.getpid()}')
        words = ['ssh', '-F', self.ground.ssh_config, '-S', control]
        master = subprocess.Popen([*words, '-M', '-N', 'lab'], stdin=subprocess.DEVNULL)
        try:
            while subprocess.run([*words, '-O', 'check', 'lab'], stderr=subprocess.DEVNULL).returncode:
                assert master.poll() is None
            yield lambda: subprocess.run([*words, 'lab', 'true'], stdin=subprocess.DEVNULL, check=True)
        finally:
            # It may overlook SIGTERM as a session ends.
            master.kill()
            master.wait()

    def resident(self) -> int:
        """Return the resident bytes of an interpreter with nothing to do."""
        code = "print([l for l in open('/proc/self/status') if l.startswith('VmRSS')][0].split()[1])"
        return int(subprocess.check_output([self.ground.python, '-c', code])) * 1024
