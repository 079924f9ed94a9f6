"""Accounts of this machine with every kind of shell and sudo rule, for as long as the tests run.

Invariants:
* Every account's name begins with `ect_`; the password of NAME is `pw-NAME`.
* The file written besides is /etc/sudoers.d/econtext-tests, never before visudo has read it; sudo writes below
  RECORDS. The rules of doas are seen by the commands of the tests alone: the machine keeps its own.
* Test runs may overlap: the first makes the accounts, the last removes them. A run that died holds
  no lock, so the next one is a first: it removes what was left, which may be half an account, and begins anew.

Needs root.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lab import SOON, eventually, leaks, missing, need, program, unavailable

PREFIX = 'ect_'
RULES_FILE = Path('/etc/sudoers.d/econtext-tests')
RECORDS = Path('/run/econtext-tests-sudo')     # of sudo, for who is recorded
LOCKS = Path('/run/lock')
HOMES = Path('/home')
# What useradd writes, one after the other.
TABLES = [Path('/etc', name) for name in ('passwd', 'shadow', 'group', 'gshadow', 'subuid', 'subgid')]

# kind -> (the shell's program, what the account is for)
KINDS: dict[str, tuple[str, str]] = {
    'plain': ('bash', 'may not use sudo'),
    'sudo': ('bash', 'sudo asks for its password, each time'),
    'nopw': ('bash', 'sudo asks nothing'),
    'tty': ('bash', 'sudo asks nothing, but wants a terminal'),
    'pty': ('bash', 'sudo asks nothing and runs commands on a new pty'),
    'rootpw': ('bash', "sudo asks for the target's password"),
    'lect': ('bash', 'sudo lectures, allows one try, and prompts in words of its own'),
    'doas': ('bash', 'doas asks for its password'),
    'doasnopw': ('bash', 'doas asks nothing'),
    'wording': ('bash', 'sudo has words of its own for its prompt'),
    'factors': ('bash', 'sudo asks for what a service of PAM asks, see lab/otp.py'),
    'logio': ('bash', 'sudo asks nothing, and records what goes in and out'),
    'target': ('bash', 'whom others become; its profile sets a variable'),
    'dash': ('dash', 'a login shell'),
    'tcsh': ('tcsh', 'a login shell'),
    'csh': ('csh', 'a login shell'),
    'fish': ('fish', 'a login shell'),
    'zsh': ('zsh', 'a login shell'),
    'nologin': ('nologin', 'refuses, on standard output'),
    'false': ('false', 'refuses without a word'),
    'noisy': ('bash', 'its .bashrc writes to both outputs'),
    'odd': ('bash', 'for tests that change its start-up file'),
    'expired': ('bash', 'its password must be changed'),
    'renew': ('bash', 'for the test that changes its password'),
}

RULES = """\
Defaults:ect_tty requiretty
Defaults:ect_pty use_pty
Defaults:ect_sudo,ect_lect,ect_rootpw,ect_wording,ect_factors timestamp_timeout=0
Defaults:ect_factors pam_service=econtext-tests-sudo
Defaults:ect_wording passprompt_override,passprompt="Geheimwort von %p bitte> "
Defaults:ect_logio log_input,log_output,iolog_dir={records}
Defaults:ect_rootpw targetpw
Defaults:ect_lect lecture=always,passwd_tries=1,passprompt="[corp] gimme %p's secret> "
ect_sudo,ect_rootpw,ect_lect,ect_wording,ect_factors ALL=(ALL:ALL) ALL
ect_nopw,ect_tty,ect_pty,ect_logio ALL=(ALL:ALL) NOPASSWD: ALL
"""

DOAS_RULES = """\
permit ect_doas
permit nopass ect_doasnopw
permit nopass root
"""
# Lays folder $0 over /etc, for the command that follows and all that it starts.
OVERLAY = 'mount -t overlay overlay -o "lowerdir=$0:/etc" /etc && exec "$@"'

NOISE = 'echo "BANNER stdout"\necho "BANNER stderr" >&2\n'


@dataclass(frozen=True)
class Account:
    """One account that exists while the tests run."""

    name: str
    password: str
    shell: str
    home: Path
    uid: int
    gid: int

    def argv(self, *command: str) -> list[str]:
        """Return a command line that runs `command` as this account. It asks for nothing, and needs root."""
        environment = [f'HOME={self.home}', f'USER={self.name}', f'LOGNAME={self.name}', f'SHELL={self.shell}']
        path = 'PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'
        become = ['--reuid', str(self.uid), '--regid', str(self.gid), '--init-groups']
        return [need('setpriv'), *become, 'env', '-i', '-C', str(self.home), *environment, path, 'LC_ALL=C', *command]

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `command` as this account to its end; its outputs are kept as text."""
        options = {'timeout': SOON, 'stdin': subprocess.DEVNULL, **options}
        if 'input' in options:
            del options['stdin']
        return subprocess.run(self.argv(*command), capture_output=True, text=True, **options)


class Accounts(Mapping[str, Account]):
    """The accounts, by kind: `accounts['plain']`. Make with `with Accounts() as accounts`."""

    def __init__(self) -> None:
        self._found: dict[str, Account] = {}
        self._users = -1

    def __enter__(self) -> Accounts:
        with _Locked('mutex'):
            self._users = _open_lock('users')
            try:
                if _is_alone(self._users):
                    remove()
                fcntl.flock(self._users, fcntl.LOCK_SH)
                self._found = dict(_ensure())
            except BaseException:
                self._leave()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with _Locked('mutex'):
            self._leave()

    def _leave(self) -> None:
        """Remove everything if no other run uses it. The mutex is held."""
        self._found = {}
        try:
            if _is_alone(self._users):
                remove()
        finally:
            os.close(self._users)

    def __getitem__(self, kind: str) -> Account:
        if kind not in self._found:
            unavailable(f'account {kind}: not installed: {KINDS[kind][0]}')
        return self._found[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@contextlib.contextmanager
def home_of(account: Account) -> Iterator[Path]:
    """Yield the home of an account; whoever else asks for it, in whichever run, waits until this block ends."""
    with _Locked(account.name):
        yield account.home


def with_doas_rules(folder: Path) -> list[str]:
    """Return what starts a command that sees DOAS_RULES in /etc/doas.conf, written into `folder`; needs root."""
    rules = folder / 'doas.conf'
    if not rules.exists():
        rules.write_text(DOAS_RULES)
        rules.chmod(0o400)
    words = [need('unshare'), '-m', need('sh'), '-c', OVERLAY, str(folder)]
    if subprocess.run([*words, need('true')], capture_output=True, timeout=60).returncode:
        unavailable('doas: no overlay can be mounted on /etc here')
    return words


def remove() -> None:
    """Remove the sudo rules, and every account of ours together with its processes and home."""
    RULES_FILE.unlink(missing_ok=True)
    shutil.rmtree(RECORDS, ignore_errors=True)
    for kind in KINDS:
        _remove_account(PREFIX + kind)


def _remove_account(name: str) -> None:
    """Remove an account; where useradd or userdel was killed, only some of the system's tables know that account."""
    home = HOMES / name
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        if not home.exists() and not any(_has_line(table, name) for table in TABLES):
            return
        _run('groupdel', name)
        _run('useradd', '-M', '-d', str(home), name, check=True)
        account = pwd.getpwnam(name)
    _end_processes(account.pw_uid)
    _run('userdel', '-r', '-f', name)
    shutil.rmtree(home, ignore_errors=True)


def _has_line(table: Path, name: str) -> bool:
    return table.exists() and any(line.startswith(f'{name}:') for line in table.read_text().splitlines())


def _ensure() -> Iterator[tuple[str, Account]]:
    """Make what is not there yet, and yield each account, furnished."""
    made = []
    for kind, (shell, _purpose) in KINDS.items():
        path = program(shell)
        if path is None:
            continue
        try:
            pwd.getpwnam(PREFIX + kind)
        except KeyError:
            _run('useradd', '-m', '-d', str(HOMES / (PREFIX + kind)), '-s', path, PREFIX + kind, check=True)
            made.append(kind)
    _run('chpasswd', input=''.join(f'{PREFIX}{kind}:pw-{PREFIX}{kind}\n' for kind in made), check=True)
    _run('chage', '-d', '0', PREFIX + 'expired', check=True)
    for entry in pwd.getpwall():
        kind = entry.pw_name[len(PREFIX) :]
        if entry.pw_name == PREFIX + kind and kind in KINDS:
            home = Path(entry.pw_dir)
            yield kind, Account(entry.pw_name, f'pw-{entry.pw_name}', entry.pw_shell, home, entry.pw_uid, entry.pw_gid)
            _furnish(kind, home, entry.pw_uid, entry.pw_gid)
    _install_rules()


def _furnish(kind: str, home: Path, uid: int, gid: int) -> None:
    if kind == 'target':
        _write(home / '.bash_profile', 'export ECT_PROFILE="set by the profile"\n', uid, gid)
    if kind == 'noisy':
        for name in ('.bashrc', '.bash_profile'):
            _write(home / name, NOISE, uid, gid)


def _write(path: Path, text: str, uid: int, gid: int) -> None:
    """Have that text in a file, which shells of another run may be reading: it is never there in part."""
    draft = path.with_name(f'{path.name}.{os.getpid()}')
    draft.write_text(text)
    os.chown(draft, uid, gid)
    os.replace(draft, path)


def _install_rules() -> None:
    """Put the sudo rules in place by one rename, after visudo has found no fault in them."""
    if missing('sudo') is not None:
        return
    with tempfile.TemporaryDirectory(dir='/etc') as folder:
        draft = Path(folder) / 'econtext-tests'
        draft.write_text(RULES.format(records=RECORDS))
        draft.chmod(0o440)
        _run('visudo', '-q', '-cf', str(draft), check=True)
        os.replace(draft, RULES_FILE)


def _end_processes(uid: int) -> None:
    """Kill what the account still runs; userdel would leave it."""
    for entry in leaks.table():
        try:
            owner = os.stat(f'/proc/{entry.pid}').st_uid
            if owner == uid:
                os.kill(entry.pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if owner == uid:
            eventually(lambda pid=entry.pid: not leaks.alive(pid), what=f'{entry} ends')  # type: ignore[misc]


# -- pieces ------------------------------------------------------------------


class _Locked:
    """Holds a lock that other test runs respect; the kernel lets go of it with the process."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.descriptor = _open_lock(self.name)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def _is_alone(users: int) -> bool:
    """Tell whether no other run uses the accounts; the mutex is held, so none begins meanwhile."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_lock(name: str) -> int:
    folder = LOCKS if LOCKS.is_dir() else Path('/tmp')
    return os.open(folder / f'econtext-tests-{name}', os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _run(name: str, *arguments: str, input: str = '', check: bool = False) -> None:
    command: Sequence[str] = [need(name), *arguments]
    done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=60)
    if check and done.returncode != 0:
        raise RuntimeError(f'{" ".join(command)}: exit status {done.returncode}: {done.stderr.strip()}')
