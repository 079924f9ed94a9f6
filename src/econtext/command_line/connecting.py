"""
From the words of a command line to contexts: the options that all commands share, and the fleet that they name.

Invariants:

* All hosts of a command are one fleet, one host too: each is connected once, side by side with the others.
* Nothing is asked where there is no terminal; the error then says what was wanted.
* Nobody but the person at the terminal trusts a host whose key is not known: who types nothing has not.

Any thread may enter ``Asker.ask``; all else is for the main thread.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import econtext
from econtext.command_line.targets import BadTarget, Pattern, Target, parse, parse_hosts
from econtext.controller.text import harmless_lines

ROOM = 1024     # bytes of a line that is typed
TICK = 0.1      # seconds until it is seen that nobody waits for that line any more
FINGERPRINT = re.compile(r'\b(?:SHA\d+|MD5):[\w+/=:-]+')


@dataclass(frozen=True)
class Way:
    """The options that all commands share: how to reach the hosts, and whom to be there."""

    via: tuple[str, ...] = ()
    sudo: str | None = None
    python: str | None = None
    connect_timeout: float = 30.0
    username: str | None = None
    port: int | None = None
    identity_file: str | None = None
    config: str | None = None
    ssh_options: tuple[str, ...] = ()
    inventory: str | None = None
    verbose: int = 0
    #: May the person at the terminal be asked whether to trust a host? Not where a program reads what is printed.
    attended: bool = True

    def ssh_args(self) -> list[str]:
        """Return the arguments for ``ssh``."""
        args = ['-F', self.config] if self.config else []
        for option in self.ssh_options:
            args += ['-o', option]
        return args


class Asker:
    """
    Asks the user what is asked on the way: one question at a time, and the same question once.

    At the end of its ``with`` block, by Ctrl-C for one, nobody waits for an answer any more.
    """

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.known: dict[str, str | None] = {}
        self.over: bool = False

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True

    def ask(self, question: str) -> str | None:
        """Return what the user types, which nobody sees; None for nothing."""
        with self.lock:
            return self.typed(question, False)

    def ask_once(self, question: str) -> str | None:
        """Return what the user typed when this was asked first: many hosts ask for one password of sudo."""
        with self.lock:
            if question not in self.known:
                self.known[question] = self.typed(question, False)
            return self.known[question]

    def ask_host_key(self, question: str) -> str | None:
        """Return what the user types about the key of a host: yes, or the fingerprint in the question; else None."""
        with self.lock:
            text = question
            while True:
                answer = (self.typed(text, True) or 'no').strip()
                if answer.lower() in ('yes', 'no'):
                    return 'yes' if answer.lower() == 'yes' else None
                if answer in FINGERPRINT.findall(question):
                    # An old ssh takes no fingerprint.
                    return answer if 'fingerprint]' in question else 'yes'
                text = "Please type 'yes', 'no' or the fingerprint: "

    def typed(self, question: str, seen: bool) -> str | None:
        """Return a line that the user types, without its end; None at the end of the input, or of this."""
        if self.over:
            return None
        with open('/dev/tty', 'r+b', buffering=0) as terminal:
            number = terminal.fileno()
            before = termios.tcgetattr(number)
            if not seen:
                silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
                termios.tcsetattr(number, termios.TCSAFLUSH, silent)
            try:
                terminal.write(harmless_lines(question).encode('utf-8', 'replace'))
                data = self.line_from(number)
            finally:
                if not seen:
                    termios.tcsetattr(number, termios.TCSAFLUSH, before)
                    terminal.write(b'\n')
            return None if data is None else data.decode(os.device_encoding(number) or 'utf-8', 'replace')

    def line_from(self, terminal: int) -> bytes | None:
        data = b''
        while not data.endswith(b'\n'):
            if self.over:
                return None
            if select.select([terminal], [], [], TICK)[0]:
                piece = os.read(terminal, ROOM)
                if not piece:
                    return None
                data += piece
        return data.rstrip(b'\r\n')

    def function(self, once: bool = False) -> Callable[[str], str | None] | None:
        """Return what asks; None if there is nobody to ask."""
        try:
            os.close(os.open('/dev/tty', os.O_RDWR | os.O_NOCTTY))
        except OSError:
            return None
        return self.ask_once if once else self.ask


def options_of(target: Target, way: Way, asker: Asker) -> dict[str, Any]:
    """Return what the connector of `target` is given by name."""
    options: dict[str, Any] = {'python': way.python, 'connect_timeout': way.connect_timeout}
    if target.connector == 'ssh':
        ask = asker.function()
        options |= {
            'username': way.username, 'port': way.port, 'identity_file': way.identity_file,
            'ssh_args': way.ssh_args(), 'password': ask, 'passphrase': ask, 'answers': ask,
            'host_key': asker.ask_host_key if ask and way.attended and os.isatty(0) else None,
        }
    return options | target.options


def host_of(target: Target, way: Way, asker: Asker) -> econtext.Host:
    """Return `target` as a host of a fleet."""
    options = options_of(target, way, asker)
    if target.args:
        from econtext.controller.fleet.requests import address_option
        options[address_option(target.connector)] = target.args[0]
    return econtext.Host(str(target), options, connector=target.connector)


def hosts_of(text: str, way: Way, asker: Asker) -> list[econtext.Host]:
    """Return the hosts that `text` names; raise BadTarget."""
    listed = inventory_of(way)
    found: dict[str, econtext.Host] = {}
    for each in parse_hosts(text):
        for host in chosen(each, listed, way, asker):
            found.setdefault(host.name, host)
    return list(found.values())


def chosen(each: Target | Pattern, listed: Sequence[econtext.Host], way: Way, asker: Asker) -> list[econtext.Host]:
    """Return the hosts that one word names."""
    pattern = str(each) if str(each) != 'all' or not listed else '*'
    found = [host for host in listed if host.matches(pattern)]
    if found:
        return [merged(host, way, asker) for host in found]
    if isinstance(each, Target):
        return [host_of(each, way, asker)]
    if pattern.startswith('@') or listed:
        where = f'the inventory {way.inventory}' if listed else 'an inventory: name one with --inventory'
        raise BadTarget(f'{each}: no such host or group in {where}')
    try:
        names = econtext.inventory.ssh_config(pattern, config=way.config)
    except ValueError as error:
        raise BadTarget(str(error)) from None
    return [host_of(Target('ssh', host.name), way, asker) for host in names]


def merged(host: econtext.Host, way: Way, asker: Asker) -> econtext.Host:
    """Return a host of an inventory with the options of the command line, over which its own win."""
    connector = host.connector or 'ssh'
    options = options_of(Target(connector), way, asker) | dict(host.options)
    return econtext.Host(host.name, options, connector=connector, groups=host.groups, variables=host.variables)


def inventory_of(way: Way) -> list[econtext.Host]:
    """Return the hosts of the inventory, none if none is named."""
    if way.inventory is None:
        return []
    if way.inventory.endswith('.toml'):
        return econtext.inventory.toml(way.inventory)
    return econtext.inventory.ansible(way.inventory)


def connect(above: Any, target: Target, way: Way, asker: Asker) -> econtext.Context:
    """Start a context by `target`."""
    context: econtext.Context = getattr(above, target.connector)(
        *target.args, name=str(target), **options_of(target, way, asker))
    return context


class WarmContexts(Protocol):
    """What the session server has for one command."""

    def context(self, target: Target | None, way: Way) -> AbstractContextManager[econtext.Context]: ...
    def beside(self) -> econtext.Context: ...
    def streams(self, context: econtext.Context) -> Any: ...


#: What a process of the session server has, see ``service.warm``; nothing in a process of a command's own.
WARM: list[WarmContexts] = []


class OneHost(Sequence[str]):
    """One host with its context, in the place of a fleet."""

    def __init__(self, name: str, context: econtext.Context) -> None:
        self.name = name
        self.one = context

    def __len__(self) -> int:
        return 1

    def __getitem__(self, at: Any) -> Any:
        return [self.name][at]

    def context(self, host: str) -> econtext.Context:
        """Return the context of the host."""
        return self.one


@contextlib.contextmanager
def fleet_of(hosts: str, way: Way, alone: bool = False) -> Iterator[Any]:
    """
    Yield the fleet that `hosts` names; its contexts end with the block.

    With `alone` a single host may come as OneHost.
    """
    if WARM:
        with WARM[0].context(only_target(hosts, way) if alone else None, way) as context:
            yield OneHost(hosts, context)
        return
    asker = Asker()
    wanted = hosts_of(hosts, way, asker)
    with econtext.Broker() as broker, asker:
        yield fleet_from(broker, wanted, way, asker)


@contextlib.contextmanager
def context_of(target: Target, way: Way) -> Iterator[econtext.Context]:
    """Yield the context that `target` names."""
    if WARM:
        with WARM[0].context(target, way) as context:
            yield context
        return
    asker = Asker()
    with econtext.Broker() as broker, asker:
        host = host_of(target, way, asker)
        yield fleet_from(broker, [host], way, asker).context(host.name)


def only_target(hosts: str, way: Way) -> Target | None:
    """Return the target that `hosts` names, if that is one alone; raise BadTarget."""
    found = parse_hosts(hosts) if way.inventory is None else []
    return found[0] if len(found) == 1 and isinstance(found[0], Target) else None


def start_beside(context: econtext.Context) -> econtext.Context:
    """Start a context on the host of `context`, which a script may have for itself."""
    return WARM[0].beside() if WARM else context.local(name=f'{context.name}.script')


def end_beside(context: econtext.Context) -> None:
    """End such a context; that of a session server ends with this process."""
    if not WARM:
        context.close()


def fleet_from(broker: econtext.Broker, hosts: list[econtext.Host], way: Way, asker: Asker) -> econtext.Fleet:
    relay = None
    for word in way.via:
        relay = connect(relay or broker, parse(word), way, asker)
        # What keeps a hop from being reached is its own error, not that of each host behind it.
        relay.wait_ready()
    fleet = broker.fleet(hosts, relays=relay)
    if way.sudo:
        # None is no answer.
        ask: Any = asker.function(once=True)
        fleet = fleet.sudo(way.sudo, password=ask, answers=ask, connect_timeout=way.connect_timeout)
    return fleet
