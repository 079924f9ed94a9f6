"""The floor of what is logged: the same lines, logged by the controller itself."""

from __future__ import annotations

import logging

from bench.contender import Contender


class Adapter(Contender):
    title = 'logged locally'

    def local(self) -> None:
        return None

    def lines(self, child: None, count: int) -> None:
        logger = logging.getLogger('bench.here')
        for number in range(count):
            logger.info('%s: %s', 'stdout', f'line {number:06} of what a program says while it is at work')
