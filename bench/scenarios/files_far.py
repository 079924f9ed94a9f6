"""A folder of 1,000 files to a server that is 100 ms away, over a connection that is there before.

Asked is 1.3 x the time of its bytes, and three round trips. The time of its bytes is what `ssh host 'cat >/dev/null'`
takes for as many, beyond `ssh host true`: the link has no limit, but ssh lets 2 MiB be on their way.  scp waits for
several answers about each file, which would take minutes.
"""

from __future__ import annotations

import importlib
import os
import subprocess
from pathlib import Path
from typing import Any

from bench.scenario import ROUND_TRIP, Row, pick, seconds
from bench.scenarios.files import FILE, check, clear, make_folder

CONTENDERS = 'econtext rsync'.split()
NEED = 'slow'
ROUNDS = 5, 1
ROWS = [
    Row('1,000 files of 4 kB over a link of 100 ms', 'time / (1.3 x its bytes + 3 RTT)', 'bound', 'x', '<= 1'),
    Row('', 'the first transfer of a context', 'first', 'x', '<= 1'),
    Row('', "time / rsync's", 'time', 'x', '', ('rsync', 'time')),
    Row('', 'time', 'time', 'ms'),
]


def measure(contender: Any, size: str) -> dict[str, float]:
    count = pick(size, 1000, 1000, 20)
    ground = Path(contender.ground.folder)
    many, target = ground / f'many-{count}', ground / 'target'
    make_folder(many, count)
    contender.prepare()
    over = contender.connected()
    numbers: dict[str, float] = {}
    for metric in ('first', 'bound'):
        clear(target)
        numbers['time'] = seconds(lambda: over.put(str(many), str(target)))
        check(many, target)
        numbers[metric] = numbers['time'] / (1.3 * time_of_bytes(contender, count * FILE) + 3 * ROUND_TRIP)
    numbers['time'] *= 1e3
    clear(target)
    return numbers


def time_of_bytes(contender: Any, size: int) -> float:
    python = importlib.import_module('bench.contenders.python').Adapter(contender.ground)
    data = os.urandom(size)
    floor = seconds(lambda: python.run_ssh('true'))
    command = ['ssh', '-F', contender.ground.ssh_config, 'lab', 'cat >/dev/null']
    return max(seconds(lambda: subprocess.run(command, input=data, check=True)) - floor, 0.0)
