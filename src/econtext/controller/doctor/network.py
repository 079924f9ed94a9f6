"""
What can be seen of the way to a host before ssh goes there.

Each function is one step of ``doctor``: it returns what it found, or raises
StepFailed with the kind of failure that ssh would meet.

Invariants:

* Nobody is asked anything, and nothing is logged in to.
* Every wait has an end.

Any thread may enter.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from econtext.controller.runtime.signals import interruptible
from econtext.controller.text import harmless

BANNER = 200    # characters of what the server says first
# What `ssh -G` says that makes the way there somebody else's affair.
PROXIES = 'proxyjump', 'proxycommand'
# Options that keep the command or its input from the host, and the values with which they do not.
OPTIONS = {'stdinnull': 'no', 'forkafterauthentication': 'no', 'sessiontype': 'default'}
# What ssh says, beyond its last words, of a login that was refused.
EVIDENCE = (
    'Offering public key', 'Trying private key', 'Authentications that can continue', 'Server accepts key',
    'no such identity', 'Skipping', 'Permissions', 'not accessible', 'Load key', 'Next authentication method',
)


class StepFailed(Exception):
    """What stands in the way: a `kind` of ConnectError, and what was `seen`."""

    def __init__(self, kind: str, seen: str) -> None:
        super().__init__(kind, seen)
        self.kind = kind
        self.seen = seen


class Note(NamedTuple):
    """What works and is worth a word: what was `seen`, and what would better it."""

    seen: str
    remedy: str


def program(name: str) -> str:
    """Return the path of a program; StepFailed if it cannot be executed."""
    path = shutil.which(name)
    if path is None:
        raise StepFailed('not-found', f'{name}: not on PATH={os.environ.get("PATH", "")}')
    return path


def client(ssh: str, patience: float) -> str:
    """Return the path and the version of the ssh client."""
    path = program(ssh)
    done = ask([path, '-V'], patience)
    return f'{path}, {first_line(done.stderr + done.stdout)}'


def configuration(argv: Sequence[str], patience: float) -> dict[str, str]:
    """
    Return what the user's configuration makes of the command line `argv`.

    `argv` ends with the host's name.  Empty for a client that cannot tell.
    """
    done = ask([argv[0], '-G', *argv[1:]], patience)
    if 'fork into background without a command' in done.stderr:
        raise StepFailed('no-command', 'forkafterauthentication yes')
    if done.returncode:
        if 'usage' in done.stderr or 'option' not in done.stderr.lower():
            return {}
        raise StepFailed('ended', done.stderr.strip())
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(' ')
        if value != OPTIONS.get(key.lower(), value):
            raise StepFailed('no-command', line)
        if value and value != 'none':
            found.setdefault(key.lower(), value)
    return found


def proxy(settings: Mapping[str, str]) -> str:
    """Return what leads to the host in place of a connection of ours, or nothing."""
    for key in PROXIES:
        if settings.get(key):
            return f'{key} {settings[key]}'
    return ''


@interruptible
def addresses(hostname: str, port: int) -> list[Any]:
    """Return where the name leads to, as getaddrinfo() does."""
    try:
        return socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise StepFailed('no-such-host', f'{hostname}: {error}') from None


@interruptible
def connect(found: Sequence[Any], patience: float) -> str:
    """Return what the first of the servers says that answers."""
    refused: OSError | None = None
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as link:
                link.settimeout(patience)
                link.connect(address)
                return f'{address[0]} port {address[1]}: {greeting(link)}'
        except OSError as error:
            refused = error
            seen = f'{address[0]} port {address[1]}: {error}'
    if refused is None:
        raise StepFailed('no-such-host', 'the name has no address')
    raise StepFailed(kind_of(refused), seen)


@interruptible
def greeting(link: socket.socket) -> str:
    """Return the first line that a server says."""
    said = b''
    while b'\n' not in said and len(said) < BANNER:
        piece = link.recv(BANNER)
        if not piece:
            if not said:
                raise ConnectionResetError(errno.ECONNRESET, 'the server hung up before it said a word')
            break
        said += piece
    return first_line(said.decode('utf-8', 'replace'))


def kind_of(error: OSError) -> str:
    """Return the kind of failure in what a socket raised."""
    if isinstance(error, ConnectionRefusedError):
        return 'connection-refused'
    if isinstance(error, ConnectionResetError):
        return 'hung-up'
    if isinstance(error, TimeoutError):
        return 'timeout'
    return 'unreachable'


def evidence(argv: Sequence[str], patience: float) -> list[str]:
    """
    Return what ssh says, if it is told to speak, of a login that is refused.

    `argv` ends with the host's name.  It is told to ask nobody, so that no
    password is typed for it.
    """
    words = [argv[0], '-v', '-o', 'BatchMode=yes', '-o', 'ControlPath=none', *argv[1:], 'exit']
    try:
        done = ask(words, patience)
    except StepFailed:
        return []
    lines = [line.strip().removeprefix('debug1: ') for line in done.stderr.splitlines()]
    return [line for line in lines if line.startswith(EVIDENCE)][:20]


@interruptible
def ask(argv: Sequence[str], patience: float) -> subprocess.CompletedProcess[str]:
    """Run a program that asks nobody."""
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience,
            text=True, encoding='utf-8', errors='replace', start_new_session=True,
        )
    except OSError as error:
        raise StepFailed('not-found', f'{argv[0]}: {error.strerror}') from None
    except subprocess.TimeoutExpired:
        raise StepFailed('timeout', f'{argv[0]} did not answer') from None


def first_line(text: str) -> str:
    """Return the first line of a text, harmless and short."""
    line = (text.strip().splitlines() or [''])[0][:BANNER]
    return harmless(line)
