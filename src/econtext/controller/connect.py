"""
The connectors, as the program calls them.

``econtext.ssh.connect(via, …)`` and ``via.ssh(…)`` are the same; `via` is a broker,
or a context from which the new one is started.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from econtext.controller.context import Context

Python = str | Sequence[str] | None
Secret = str | Callable[[str], str] | None

PATIENCE = 30.0


class Wish(NamedTuple):
    """What a connector was asked for."""

    connector: str
    options: dict[str, Any]
    name: str | None
    argv0: str | None
    connect_timeout: float
    answers: Mapping[str, Secret]


class Origin:
    """What contexts can be started from."""

    def local(
        self,
        *,
        python: Python = None,
        env: Mapping[str, str | None] | None = None,
        name: str | None = None,
        argv0: str | None = None,
        connect_timeout: float = PATIENCE,
    ) -> Context:
        """
        Start a context on the same machine, as the same user.

        `python` is the path of its interpreter, or a list of words that ends
        with it; by default the one that starts it.  `env` sets variables, or
        removes them (None).  `name` is what logs and errors call it, `argv0` what
        ``ps`` shows.  `connect_timeout` is in seconds, from now on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            old = broker.local(python='/usr/bin/python2.7')
            print(old.call(os.getpid))
        """
        options = {'python': python, 'env': dict(env) if env else None}
        return self.start(Wish('local', options, name, argv0, connect_timeout, {}))

    def ssh(
        self,
        hostname: str,
        *,
        username: str | None = None,
        port: int | None = None,
        identity_file: str | os.PathLike[str] | None = None,
        password: Secret = None,
        passphrase: Secret = None,
        python: Python = None,
        ssh_args: Sequence[str] = (),
        ssh_path: str = 'ssh',
        one_trip: bool = False,
        name: str | None = None,
        argv0: str | None = None,
        connect_timeout: float = PATIENCE,
    ) -> Context:
        """
        Start a context on another machine, by the OpenSSH client.

        `hostname` is a name as ``ssh`` understands it.  The user's ssh
        configuration counts for all of `username`, `port` and `identity_file`
        that is not given; `ssh_args`, a list, precedes all other arguments.
        `password` is for the account, `passphrase` for the private key: texts, or
        functions that get the prompt and return one.  `python` is the path of the
        interpreter there, or a list of words that ends with it; by default
        python3, python, python2 or platform-python is found.  `ssh_path` is the
        client.  `name` is what logs and errors call it, by default the host's
        name; `argv0` is what ``ps`` shows.  `connect_timeout` is in seconds.

        With `one_trip` ssh is started by the first call, and the command line
        carries all that it needs: the result comes one round trip sooner.  The
        command line, some 14 kB, shows in ``ps`` there until the context is ready.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            web = broker.ssh('web1.example.com', username='deploy')
            print(web.call(os.uname))
        """
        options = {
            'hostname': hostname,
            'username': username,
            'port': port,
            'identity_file': None if identity_file is None else os.fspath(identity_file),
            'python': python,
            'ssh_args': list(words('ssh_args', ssh_args)),
            'ssh_path': ssh_path,
        }
        if one_trip:
            options['one_trip'] = True
        answers = {'password': password, 'passphrase': passphrase}
        return self.start(Wish('ssh', options, name or hostname, argv0, connect_timeout, answers))

    def sudo(
        self,
        username: str = 'root',
        *,
        password: Secret = None,
        python: Python = None,
        sudo_path: str = 'sudo',
        name: str | None = None,
        argv0: str | None = None,
        connect_timeout: float = PATIENCE,
    ) -> Context:
        """
        Start a context on the same machine as another user, by sudo.

        `username` is whom to become.  `password` is a text, or a function that
        gets the prompt and returns one; it is typed only if sudo asks, and never
        shows in arguments or logs.  `python` is the path of the interpreter, or a
        list of words that ends with it; by default the one that starts it, or
        another that is found.  `sudo_path` is the program.  `name` is what logs
        and errors call it, `argv0` what ``ps`` shows.  `connect_timeout` is in
        seconds.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            root = web.sudo(password=getpass.getpass)
            root.call(os.mkdir, '/srv/app')
        """
        options = {'username': username, 'python': python, 'sudo_path': sudo_path}
        label = name or f'{self.prefix()}sudo.{username}'
        answers = {'password': password}
        return self.start(Wish('sudo', options, label, argv0, connect_timeout, answers))

    # What broker and context differ in.

    @abc.abstractmethod
    def start(self, wish: Wish) -> Context:
        """Start the context that is wished for; return at once."""

    @abc.abstractmethod
    def prefix(self) -> str:
        """What the names of contexts started from here begin with."""


def words(option: str, value: Sequence[str]) -> Sequence[str]:
    """Return a list of words; a text that was meant as one is refused."""
    if isinstance(value, str) or not all(isinstance(word, str) for word in value):
        raise TypeError(f'{option}= must be a list of words, not {value!r}')
    return value


def plain(value: Any) -> Any:
    """Return `value` with every text of its own type, such as an enum's, made a plain one."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return value
