"""What stays of a run of Ansible over econtext on many hosts, when a part of that run is killed.

    python -m bench.ansible_kill PYTHON [--hosts N] [--forks N] [--after SECONDS] [--victim VICTIM …]

PYTHON is that of an environment that has ansible-core and econtext: `pip install ansible-core ./econtext`.  Needs root,
Linux, sshd, sudo, unshare and ip.  Each row is a run of its own: the status of Ansible, the processes on the hosts when
the victim is killed, the seconds from the end of Ansible until no process of the run is left on either side, the files
that are left in the folders of Ansible and of the account, and how many of them are econtext's.  Exit status: 1 if a
process or a file of econtext is left after 10 s.  No row kills a worker or sends SIGINT: ansible-core may wait for ever
for a worker that was killed, and loses a SIGINT that comes while it forks.

Invariants:

* All is in a network namespace of its own, where each host is an address of one server on the loopback.
* A process is of the run if it has the run's mark in its environment, or is a descendant of the server.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / 'tests'))
from bench.ansible_playbook import CALLBACK, Ground
from lab import leaks, need, open_to_all
from lab.accounts import Accounts
from lab.sshd import Sshd

INSIDE = 'ECONTEXT_BENCH_INSIDE'
MARK = 'ECONTEXT_BENCH_RUN=1'
PATIENCE = 10.0     # seconds for what is left to end
LONGEST = 900.0     # seconds for a run
SERVER = 'MaxStartups 1000', 'MaxSessions 100', 'LoginGraceTime 600'
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ping:
    - command: id -un
    - copy: {content: "{{ inventory_hostname }}", dest: "{{ base }}/{{ inventory_hostname }}"}
    - command: id -un
      become: true
    - shell: sleep 1
"""
# victim -> whether a process is that: its command line, and whether it is Ansible's main process
VICTIMS: dict[str, Callable[[str, bool], bool] | None] = {
    'nothing': None,
    'Ansible': lambda line, main: main,
    'the daemon': lambda line, main: 'econtext.ansible.daemon' in line,
}


def marked() -> dict[int, str]:
    """Return the processes of the run on the controller, with their command lines."""
    found = {}
    for entry in leaks.table():
        try:
            if MARK.encode() in Path(f'/proc/{entry.pid}/environ').read_bytes().split(b'\0'):
                found[entry.pid] = leaks.command_line(entry.pid)
        except OSError:
            continue
    return found


def left_after(ground: Ground) -> tuple[float, list[str]]:
    """Wait until nothing of the run is left; return the seconds, and what is still left after PATIENCE."""
    began = time.monotonic()
    while True:
        near = [f'{pid}: {line}' for pid, line in marked().items() if line]
        far = [f'{entry.pid}: {leaks.command_line(entry.pid)}' for entry in leaks.descendants(ground.process)]
        seconds = time.monotonic() - began
        if not near + far or seconds > PATIENCE:
            return seconds, near + far
        time.sleep(0.1)


def run(ground: Ground, victim: str, given: argparse.Namespace) -> bool:
    """Run the play, kill the victim, print a row; return whether nothing stays."""
    home = ground.folder / 'home'
    ground.prepare(home)
    play = ground.folder / 'play.yml'
    play.write_text(PLAY)
    name, _, value = MARK.partition('=')
    environ = {**ground.environ(CALLBACK, home), 'ANSIBLE_FORKS': str(given.forks), name: value}
    words = [ground.python.parent / 'ansible-playbook', '-i', ground.inventory(given.hosts, ground.server.port), play]
    wanted = VICTIMS[victim]
    there = 0
    with open(ground.folder / 'output', 'w+b') as output:
        process = subprocess.Popen([str(word) for word in words], cwd=ground.folder, env=environ,
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        if wanted is not None:
            try:
                process.wait(given.after)
                sys.exit(f'the run ended within {given.after:g} s, before anything was killed: give less as --after')
            except subprocess.TimeoutExpired:
                pass
            there = len(leaks.descendants(ground.process))
            victims = [pid for pid, line in marked().items() if wanted(line, pid == process.pid)]
            os.kill(victims[0], signal.SIGKILL)
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    seconds, left = left_after(ground)
    files = [path for folder in (home, Path('~' + ground.user).expanduser() / '.ansible')
             for path in folder.rglob('*') if not path.is_dir()]
    ours = [str(path) for path in files if 'econtext' in path.name]
    cells = victim, process.returncode, there, f'{seconds:.1f}', len(left), len(files), len(ours)
    print('|', ' | '.join(map(str, cells)), '|', flush=True)
    for each in left + ours:
        print(each[:200], file=sys.stderr)
    for pid in marked():
        os.kill(pid, signal.SIGKILL)
    return not left and not ours


def main() -> None:
    parser = argparse.ArgumentParser('python -m bench.ansible_kill', description=(__doc__ or '').split('\n')[0])
    parser.add_argument('python', type=Path, help='of an environment that has ansible-core and econtext')
    parser.add_argument('--hosts', type=int, default=200)
    parser.add_argument('--forks', type=int, default=50)
    parser.add_argument('--after', type=float, default=40.0, help='seconds until the victim is killed')
    parser.add_argument('--victim', action='append', choices=VICTIMS, help='all unless told')
    given = parser.parse_args()
    if INSIDE not in os.environ:
        words = ['unshare', '-n', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh']
        again = sys.executable, '-m', 'bench.ansible_kill', *sys.argv[1:]
        os.execvpe(need('unshare'), [*words, *again], {**os.environ, INSIDE: '1'})
    good = True
    with tempfile.TemporaryDirectory() as name, Accounts() as accounts:
        folder = Path(name)
        folder.chmod(0o777)
        open_to_all(folder)
        with Sshd(folder / 'server', options=SERVER, address='0.0.0.0') as server:
            ground = Ground(given.python.absolute(), folder, server, accounts['nopw'].name)
            print(f'{given.hosts} hosts, {given.forks} at once:\n')
            print('| killed | status | processes on hosts | seconds until all end | left | files left | of econtext |')
            print('|---|--:|--:|--:|--:|--:|--:|')
            for victim in given.victim or VICTIMS:
                good = run(ground, victim, given) and good
    sys.exit(not good)


if __name__ == '__main__':
    main()
