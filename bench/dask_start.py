"""A cluster of Dask over ssh, beside the SSHCluster of distributed: its start, its end, its memory on each host.

    python -m bench.dask_start [--workers 3] [--rounds 3]

econtext is measured as installed.  Both take turns, each turn in a process of its own; a server of the laboratory is
the host of all.  Needs distributed and asyncssh here: the group `test`.  The start is over once all workers answer; its
processor seconds are those of the program, of ssh, and of all that runs on the hosts, so beside other work compare
these alone.  The memory is that of a worker and of the process that keeps it there.  Prints medians, and the ratios of
the starts.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAMES = ('econtext', 'SSHCluster')
ASKED = 0.5
PATIENCE = 180.0


def measure(name: str, ground: dict[str, Any], workers: int) -> dict[str, float]:
    """Start a cluster and end it; return the seconds of both."""
    import distributed

    busy = processor(ground['server'])
    began = time.perf_counter()
    with started(name, ground, workers) as cluster, distributed.Client(cluster) as client:
        client.wait_for_workers(workers, timeout=PATIENCE)
        assert len(client.run(os.getpid)) == workers
        ready = time.perf_counter()
        busy = processor(ground['server']) - busy
        memory = statistics.median(client.run(resident).values())
        ending = time.perf_counter()
    return {'start': ready - began, 'processor': busy, 'end': time.perf_counter() - ending, 'memory': memory / 1e6}


def processor(server: int) -> float:
    """Return the processor seconds of this process, of an ssh server, and of all below them, with those that ended."""
    import psutil

    found = 0.0
    for root in psutil.Process(), psutil.Process(server):
        for each in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                found += times.user + times.system + times.children_user + times.children_system
    return found


def resident() -> int:
    """Return the bytes of a worker and of its parent: a Nanny, or the context of its host."""
    import psutil

    own = psutil.Process()
    return sum(int(each.memory_info().rss) for each in (own, own.parent()))


def started(name: str, ground: dict[str, Any], workers: int) -> Any:
    """Return a new cluster of one contender, whose workers have one thread each."""
    scheduler = {'dashboard_address': '127.0.0.1:0'}
    if name == 'econtext':
        from econtext import dask

        names = [f'lab{number}' for number in range(workers)]
        ssh = ['-F', ground['config'], '-o', f'HostName={ground["address"]}']
        return dask.Cluster(names, ssh_args=ssh, python=sys.executable, nthreads=1, scheduler_options=scheduler)
    from distributed import SSHCluster

    options = {'port': ground['port'], 'client_keys': [ground['key']], 'known_hosts': None}
    return SSHCluster(
        [ground['address']] * (workers + 1), connect_options=options, remote_python=sys.executable,
        worker_options={'nthreads': 1}, scheduler_options=scheduler)


def turn(name: str, ground: dict[str, Any], workers: int) -> dict[str, float]:
    """Return what a process of its own has measured."""
    words = ['-m', 'bench.dask_start', '--turn', name, json.dumps(ground), '--workers', str(workers)]
    paths = os.pathsep.join([ground['package'], str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=ground['folder'], timeout=2 * PATIENCE,
        env={**os.environ, 'PYTHONPATH': paths})
    if done.returncode:
        raise SystemExit(f'{name} failed:\n{done.stderr}')
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def installed(folder: Path) -> str:
    """Return a folder with the package, and with what a build adds to it."""
    import hatch_build

    shutil.copytree(ROOT / 'src', folder, ignore=shutil.ignore_patterns('__pycache__', '*.bin'))
    for name, content in hatch_build.built_files(folder).items():
        (folder / 'econtext' / name).write_bytes(content)
    compileall.compile_dir(str(folder), quiet=2)
    return str(folder)


def main() -> int:
    parser = argparse.ArgumentParser('python -m bench.dask_start', description=__doc__.splitlines()[0])
    parser.add_argument('--workers', type=int, default=3)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--turn', nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        print(json.dumps(measure(options.turn[0], json.loads(options.turn[1]), options.workers)))
        return 0
    sys.path += [str(ROOT), str(ROOT / 'tests')]
    from lab.sshd import Sshd

    found: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory(prefix='econtext-bench-') as folder, Sshd(Path(folder) / 'sshd') as server:
        ground = {'config': str(server.config), 'address': server.address, 'port': server.port,
                  'server': int((Path(folder) / 'sshd' / 'sshd.pid').read_text()), 'key': str(server.key),
                  'folder': folder, 'package': installed(Path(folder) / 'built')}
        for _ in range(options.rounds):
            for name in NAMES:
                found[name].append(turn(name, ground, options.workers))
    medians = {
        name: {what: statistics.median(each[what] for each in turns) for what in turns[0]}
        for name, turns in found.items()}
    print(f'| {options.workers} workers over ssh | start | processor | end | memory for each |\n|---|--:|--:|--:|--:|')
    for name in NAMES:
        numbers = medians[name]
        print(f'| {name} | {numbers["start"]:.1f} s | {numbers["processor"]:.1f} s | {numbers["end"]:.1f} s '
              f'| {numbers["memory"]:.0f} MB |')
    used = medians['econtext']['processor'] / medians['SSHCluster']['processor']
    print(f'processor, econtext / SSHCluster: {used:.2f} x')
    ratio = medians['econtext']['start'] / medians['SSHCluster']['start']
    print(f'start, econtext / SSHCluster: {ratio:.2f} x (asked: <= {ASKED})')
    return 0 if ratio <= ASKED else 1


if __name__ == '__main__':
    sys.exit(main())
