"""rsync over ssh, as it comes."""

from __future__ import annotations

import os

from bench.contender import Program


class Adapter(Program):
    title = program = 'rsync'
    unchanged = True

    def put(self, source: str, target: str) -> None:
        self.run('-a', '-e', self.shell(), slashed(source), f'lab:{target}')

    def get(self, source: str, target: str) -> None:
        self.run('-a', '-e', self.shell(), f'lab:{slashed(source)}', target)

    def shell(self) -> str:
        return f'ssh -F {self.ground.ssh_config}'


def slashed(path: str) -> str:
    """Return the path of a folder with the slash that means what is in it."""
    return path + '/' if os.path.isdir(path) else path
