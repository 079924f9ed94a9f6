"""Playbooks by Ansible over its own plugin `ssh`, over Mitogen and over econtext, in turns; see docs/howto/ansible.md.

    python -m bench.ansible_playbook PYTHON [--quick] [--rounds N] [--only SCENARIO …] [--chart FILE.svg]

PYTHON is that of an environment that has ansible-core and econtext as it is built, and mitogen if Mitogen is to take
part: `pip install ansible-core mitogen ./econtext`.  From a checkout econtext packs its modules anew in each run.  As
root: the server is a private one, and the account that is entered may use sudo without a password.  Each row tells the
medians of wall time, of processor time of the controller and of processor time of the host, each with all that it
starts, and their ratios to those of Mitogen, or of `ssh` with pipelining without Mitogen.  `--quick` has one host and
two rounds, in which `ssh` without pipelining runs once, and never at a distance; no second round begins after 400 s.
A command may take a second longer than it needs, here one in fifty, whatever the contender: `run_command` of
ansible-core asks twice whether the command has ended, and waits a second if that came in between: take many rounds.

Invariants:

* Each run has a home of its own, so it opens its own connections, and begins when all of the run before has ended.
  Only the packed modules of econtext's callback stay from run to run, as they do for users; they are made before.
* What a run leaves in the background, such as masters of ssh, is ended, and counts for the controller.
* Hosts are addresses of one server on the loopback: processes of all of them share the processors with Ansible.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / 'tests'))
from bench import plot
from lab import eventually, leaks, need, open_to_all
from lab.accounts import Accounts
from lab.sshd import Sshd

PLAYBOOKS = Path(__file__).parent / 'playbook'
DELAY = Path(__file__).parent / 'slowlink.py'
STOCK, PIPELINING, MITOGEN = 'ssh', 'ssh, pipelining', 'Mitogen'
PLUGIN, CALLBACK = 'econtext', 'econtext, callback'
CONTENDERS = STOCK, PIPELINING, MITOGEN, PLUGIN, CALLBACK
COLOURS = dict(zip(CONTENDERS, ('#7f8c8d', '#566573', '#2471a3', '#e6a197', '#c0392b'), strict=True))
MEASURES = 'wall time', 'processor time of the controller', 'processor time of the host'
QUICK_SECONDS = 400     # after which `--quick` begins no second round
SUBREAPER = 36      # prctl(PR_SET_CHILD_SUBREAPER)
# What its sessions leave comes to the server, which waits for all children.
SERVER = """#!{python}
import ctypes, os, sys
ctypes.CDLL(None).prctl({subreaper}, 1)
os.execv({sshd!r}, [{sshd!r}, *sys.argv[1:]])
"""
CLIENT = """
Host *
  Port {port}
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking no
  LogLevel ERROR
"""


class Scenario(NamedTuple):
    """A playbook, on so many hosts, with so many milliseconds for a round trip."""

    playbook: str
    hosts: int
    trip: int

    @property
    def name(self) -> str:
        return f'{self.playbook} {self.hosts} {self.trip}'

    @property
    def title(self) -> str:
        what = {'site': '33 tasks', 'pings': 'a loop of 100 pings'}[self.playbook]
        return f'{what}, {self.hosts} host{"s" * (self.hosts > 1)}{f", {self.trip} ms away" if self.trip else ""}'


QUICK = Scenario('site', 1, 0), Scenario('pings', 1, 0), Scenario('site', 1, 50)
ALL = *QUICK, Scenario('site', 10, 0), Scenario('pings', 10, 0)


class Figures(NamedTuple):
    """Seconds: by the clock, of processors for the controller and for the hosts."""

    wall: float
    near: float
    far: float


class Ground:
    """A server, an account, and the files of the playbooks."""

    def __init__(self, python: Path, folder: Path, server: Sshd, user: str) -> None:
        self.python = python
        self.folder = folder
        self.server = server
        self.user = user
        assert server._process is not None
        self.process = server._process.pid
        self.base = folder / 'base'
        self.cache = folder / 'cache'
        shutil.copytree(PLAYBOOKS, folder / 'playbook')

    def inventory(self, hosts: int, port: int) -> Path:
        config = self.folder / f'config-{port}'
        config.write_text(CLIENT.format(port=port, key=self.server.key))
        made = self.folder / f'inventory-{hosts}-{port}'
        lines = [f'host{number} ansible_host=127.0.0.{number}' for number in range(1, hosts + 1)]
        lines += ['[all:vars]', f'ansible_user={self.user}', f'ansible_ssh_common_args="-F {config}"',
                  f'ansible_port={port}', 'ansible_python_interpreter=/usr/bin/python3', f'base={self.base}']
        made.write_text('\n'.join(lines) + '\n')
        return made

    def prepare(self, home: Path) -> None:
        """Make the folders anew that a run finds empty."""
        for folder in self.base, home:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        self.base.chmod(0o777)
        (self.base / 'medium').write_bytes(b'some line of a file\n' * 2000)
        with tarfile.open(self.base / 'archive.tar.gz', 'w:gz') as archive:
            for number in range(10):
                archive.add(self.base / 'medium', f'files/f{number}')

    def environ(self, contender: str, home: Path) -> dict[str, str]:
        found = {name: value for name, value in os.environ.items() if not name.startswith(('ANSIBLE_', 'PYTHON'))}
        found.update(
            ANSIBLE_HOME=str(home), ANSIBLE_SSH_CONTROL_PATH_DIR=str(home / 'cp'), ANSIBLE_HOST_KEY_CHECKING='0',
            ANSIBLE_CONFIG=str(self.folder / 'playbook/ansible.cfg'), ANSIBLE_NOCOLOR='1', LC_ALL='C.UTF-8',
            ANSIBLE_DEPRECATION_WARNINGS='0', ANSIBLE_FORKS='10', HOME=str(home),
            ANSIBLE_PIPELINING=str(int(contender != STOCK)))
        if contender == MITOGEN:
            found.update(ANSIBLE_STRATEGY='mitogen_linear', ANSIBLE_STRATEGY_PLUGINS=str(strategies(self.python)))
        if contender in (PLUGIN, CALLBACK):
            found['ANSIBLE_TRANSPORT'] = 'econtext.core.ssh'
        if contender == CALLBACK:
            found.update(ANSIBLE_CALLBACKS_ENABLED='econtext.core.warm_up',
                         ECONTEXT_ANSIBLE_PAYLOAD_CACHE_FOLDER=str(self.cache))
        return found

    def run(self, scenario: Scenario, contender: str, port: int) -> Figures:
        """Run a playbook to its end, and all that it has started."""
        home = self.folder / 'home'
        self.prepare(home)
        words = [self.python.parent / 'ansible-playbook', '-i', self.inventory(scenario.hosts, port),
                 f'{scenario.playbook}.yml']
        with open(self.folder / 'output', 'w+b') as output:
            began, far = time.monotonic(), self.far()
            process = subprocess.Popen(
                [str(word) for word in words], cwd=self.folder / 'playbook', env=self.environ(contender, home),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            wall = time.monotonic() - began
            if status:
                output.seek(0)
                sys.exit(f'{contender}, {scenario.name}:\n{output.read().decode()[-5000:]}')
        near = usage.ru_utime + usage.ru_stime + self.background(home)
        eventually(lambda: not leaks.descendants(self.process), what='the sessions of the run end')
        return Figures(wall, near, self.far() - far)

    def far(self) -> float:
        """Return the processor seconds of the server and what it waited for."""
        fields = Path(f'/proc/{self.process}/stat').read_text().rpartition(')')[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf('SC_CLK_TCK')

    def background(self, home: Path) -> float:
        """End what a run has left in the background; return its processor seconds."""
        for path in (home / 'cp').glob('*'):
            subprocess.run(['ssh', '-O', 'exit', '-o', f'ControlPath={path}', 'any'], capture_output=True)
        seconds = 0.0
        known = {each.pid for each in leaks.descendants(os.getpid()) if each.parent == os.getpid()}
        for pid in known - self.lasting():
            _, _, usage = os.wait4(pid, 0)
            seconds += usage.ru_utime + usage.ru_stime
        return seconds

    def lasting(self) -> set[int]:
        return {self.process, *DELAYS}


DELAYS: set[int] = set()    # processes that delay what passes, for the whole of the program


def strategies(python: Path) -> Path | None:
    """Return the folder of Mitogen's strategies, None without Mitogen."""
    return next(python.parent.parent.glob('lib/python3*/site-packages/ansible_mitogen/plugins/strategy'), None)


@contextlib.contextmanager
def ground(python: Path) -> Iterator[Ground]:
    ctypes.CDLL(None).prctl(SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as name, Accounts() as accounts:
        folder = Path(name)
        folder.chmod(0o777)
        open_to_all(folder)
        program = folder / 'sshd'
        program.write_text(SERVER.format(python=sys.executable, subreaper=SUBREAPER, sshd=need('sshd')))
        program.chmod(0o755)
        addresses = [f'ListenAddress 127.0.0.{number}' for number in range(2, 11)]
        with Sshd(folder / 'server', options=addresses, program=str(program)) as server:
            yield Ground(python, folder, server, accounts['nopw'].name)


@contextlib.contextmanager
def delayed(port: int, trip: int) -> Iterator[int]:
    """Yield a port of this machine behind which `port` is, with `trip` milliseconds for a round trip."""
    if not trip:
        yield port
        return
    process = subprocess.Popen(
        [sys.executable, str(DELAY), '--listen', str(trip / 2), '127.0.0.1', str(port)], stdout=subprocess.PIPE)
    DELAYS.add(process.pid)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdout.close()
        process.terminate()
        process.wait()
        DELAYS.discard(process.pid)


def medians_of(found: dict[str, list[Figures]]) -> dict[str, Figures]:
    return {name: Figures(*map(statistics.median, zip(*rows, strict=True))) for name, rows in found.items() if rows}


def draw(results: dict[Scenario, dict[str, Figures]], path: Path) -> None:
    """Draw the medians of each scenario as bars; less is better."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(plot.STYLE):
        height = sum(0.9 + 0.22 * len(medians) for medians in results.values())
        figure = Figure(figsize=(7.2, height), layout='constrained')
        rows = figure.subplots(len(results), len(MEASURES), squeeze=False)
        for (scenario, medians), row in zip(results.items(), rows, strict=True):
            for place, (axes, measure) in enumerate(zip(row, MEASURES, strict=True)):
                bars = axes.barh(list(medians), [each[place] for each in medians.values()],
                                 color=[COLOURS[name] for name in medians])
                axes.bar_label(bars, [f'{each[place]:.1f} s' for each in medians.values()], padding=3)
                axes.set_title(f'{scenario.title}\n{measure}', fontsize=9)
                axes.grid(visible=False)
                axes.set_xticks([])
                axes.margins(x=0.3)
                axes.invert_yaxis()
                if place:
                    axes.set_yticks([])
        plot.save(figure, path)


def table(scenario: Scenario, medians: dict[str, Figures]) -> Iterator[str]:
    """Yield the lines of a table in Markdown."""
    base = medians[next(name for name in (MITOGEN, PIPELINING, *medians) if name in medians)]
    trip = f', {scenario.trip} ms' if scenario.trip else ''
    yield f'| {scenario.playbook}.yml, hosts: {scenario.hosts}{trip} | wall | processor, controller | processor, host |'
    yield '|---|--:|--:|--:|'
    for name, figures in medians.items():
        cells = [f'{one:.2f} s ({one / other:.2f})' for one, other in zip(figures, base, strict=True)]
        yield f'| {name} | {" | ".join(cells)} |'
    yield ''


def main() -> None:
    parser = argparse.ArgumentParser('python -m bench.ansible_playbook', description=(__doc__ or '').split('\n')[0])
    parser.add_argument('python', type=Path, help='of an environment that has ansible-core, econtext and mitogen')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--quick', action='store_true', help='one host, two rounds')
    parser.add_argument('--only', action='append', help=f'of {", ".join(each.name for each in ALL)}')
    parser.add_argument('--contender', action='append', choices=CONTENDERS, help='all unless told')
    parser.add_argument('--chart', type=Path, help='where to draw the medians; needs matplotlib')
    given = parser.parse_args()
    results: dict[Scenario, dict[str, Figures]] = {}
    begun = time.monotonic()
    rounds = 2 if given.quick else given.rounds
    names = [each for each in given.contender or CONTENDERS if each != MITOGEN or strategies(given.python)]
    scenarios = [each for each in (QUICK if given.quick else ALL) if not given.only or each.name in given.only]
    with ground(given.python.absolute()) as made:
        if CALLBACK in names:
            made.run(Scenario('site', 1, 0), CALLBACK, made.server.port)
        for scenario in scenarios:
            found: dict[str, list[Figures]] = {name: [] for name in names}
            with delayed(made.server.port, scenario.trip) as port:
                for turn in range(rounds):
                    if given.quick and turn and time.monotonic() > begun + QUICK_SECONDS:
                        break
                    for name, rows in found.items():
                        if given.quick and name == STOCK and (turn or scenario.trip):
                            continue
                        rows.append(made.run(scenario, name, port))
                        print(f'{scenario.name}, {name}:', *(f'{each:.2f}' for each in rows[-1]), file=sys.stderr)
            results[scenario] = medians_of(found)
            print('\n'.join(table(scenario, results[scenario])), flush=True)
            if given.chart:
                draw(results, given.chart)


if __name__ == '__main__':
    main()
