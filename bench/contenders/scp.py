"""scp of OpenSSH, as it comes."""

from __future__ import annotations

from bench.contender import Program


class Adapter(Program):
    title = program = 'scp'

    def put(self, source: str, target: str) -> None:
        self.run('-qrp', '-F', self.ground.ssh_config, source, f'lab:{target}')

    def get(self, source: str, target: str) -> None:
        self.run('-qrp', '-F', self.ground.ssh_config, f'lab:{source}', target)
