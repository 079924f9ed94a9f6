"""
What the connection plugins have in common: the methods by which Ansible uses a connection, over the daemon.

A plugin is a class of this one and of the stock plugin, in this order, and adds how its hosts are entered.

Invariants:

* What the daemon cannot serve is done by the stock plugin, with the very same arguments: no Python there, a terminal,
  a become plugin whose password econtext cannot type, a command that is not for the shell.
* A password is typed once: a login or a become that was refused is not tried again by the stock plugin.
* A command that has begun is never run a second time.
* What the daemon has deferred is done before the stock plugin does anything.

Threads: one worker is one thread.
"""

from __future__ import annotations

import os
import shlex
import time
from typing import Any

from econtext.ansible import commands, payload, wire
from econtext.ansible.client import DaemonError, Link

# Of a ConnectError: the host, or the password, is refused to the stock plugin as well.
UNREACHABLE = (
    'no-such-host', 'connection-refused', 'timeout', 'unreachable', 'refused-key', 'no-identity', 'wrong-password',
    'password-required', 'passphrase-required', 'unknown-host-key', 'changed-host-key', 'expired-password',
    # The same of containers, pods and folders.
    'not-found', 'no-such-box', 'not-running', 'paused', 'busy', 'no-such-user', 'not-privileged', 'engine-refused',
    'engine-down', 'engine-broken')
# Of these the next attempt may fare better.
PASSING = 'connection-refused', 'timeout', 'unreachable'
# Variables that count when an interpreter starts, not when a module runs.
AT_START = 'PYTHON', 'LC_', 'LANG', 'LD_', 'DYLD_'
LONGEST_PAUSE = 30
# What Ansible calls the files of packed modules, in its temporary folder on the host.
PROGRAMS = 'AnsiballZ_', 'async_wrapper'


class Stock(Exception):
    """The stock plugin has to do it."""


class Persistent:
    """A connection whose commands run in the contexts of the run's daemon."""

    #: A class of the plugin's own, for a host that cannot be reached, and for what cannot be done.
    Unreachable: type[Exception] = Exception
    Failed: type[Exception] = Exception
    #: The program that enters the host, for errors; empty where there is none to name.
    entered_by: str = ''
    #: Whether files go through the daemon; where not, the stock plugin copies them.
    carries_files: bool = True
    #: The folder of the run, and its main process.
    run_folder: str = ''
    run_pid: int = 0

    _daemon_link: Link | None = None
    _is_stock: bool = False    # whether the host has turned out to be none for econtext, in this task

    # For the plugins.

    def way(self) -> dict[str, Any]:
        """
        Return how the host is entered, or raise Stock.

        That is 'connector', 'arguments' and 'options', and the 'key' of all these.
        """
        raise NotImplementedError

    def say(self, text: str) -> None:
        """Tell a person who wants to know what happens."""

    def attempts(self) -> int:
        """Return how often to try to reach a host."""
        return 1

    def patience(self) -> float | None:
        """Return how many seconds a request may take; None for as long as it takes."""
        return None

    def become_patience(self) -> float | None:
        """Return how many seconds becoming another user may take; None for as many as entering the host."""
        return None

    def started_by(self) -> str:
        """Return the program and arguments that enter the host, to be shown before a command; empty for none."""
        return ''

    def bare_command_shell(self) -> str:
        """Return the shell that reads a command which names none, such as those of `raw`; or raise Stock."""
        # That is the login shell, to which the stock plugin leads.
        raise Stock

    # What Ansible calls.

    def exec_command(self, cmd: Any, in_data: Any = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command, and return its status, output and errors."""
        this: Any = self
        if not this._connected:
            this._connect()
        try:
            request = self._command_request(
                wire.plain(cmd), wire.plain(in_data) if in_data else b'', sudoable)
            # In one line as the stock plugin shows it, which people and programs look for.
            self.say(f'ECONTEXT {request["what"].upper()}: EXEC {self.started_by()}{cmd}')
            return self._carried_out(request)
        except Stock:
            # Not within this handler: what the stock plugin raises has no other cause to show.
            pass
        self._catch_up()
        done: tuple[int, bytes, bytes] = super().exec_command(  # type: ignore[misc]
            cmd, in_data=in_data, sudoable=sudoable)
        return done

    def put_file(self, in_path: str, out_path: str) -> Any:
        """Copy a file to the host."""
        source = os.path.abspath(wire.plain(in_path))
        try:
            if not self.carries_files or not os.path.isfile(source):
                raise Stock
            request = self._plain_request('put', source=source, target=str(wire.plain(out_path)))
            if os.path.dirname(source) == self.run_folder:
                recognize_file(request)
            status, _, errors = self._told(f'PUT {in_path} TO {out_path}', request)
        except Stock:
            status = None
        if status is None:
            self._catch_up()
            return super().put_file(in_path, out_path)  # type: ignore[misc]
        if status != 0:
            raise self.Failed(f'failed to transfer file to {out_path}: {errors.decode("utf-8", "replace").strip()}')
        return status, b'', errors

    def fetch_file(self, in_path: str, out_path: str) -> Any:
        """Copy a file from the host."""
        try:
            if not self.carries_files:
                raise Stock
            request = self._plain_request(
                'fetch', source=str(wire.plain(in_path)), target=os.path.abspath(wire.plain(out_path)))
            return self._told(f'FETCH {in_path} TO {out_path}', request)
        except Stock:
            pass
        self._catch_up()
        return super().fetch_file(in_path, out_path)  # type: ignore[misc]

    def reset(self) -> None:
        """End the contexts of the host, and what the stock plugin keeps."""
        try:
            if self.run_folder and os.path.exists(os.path.join(self.run_folder, 'econtext')):
                self._carried_out(self._plain_request('reset'))
        except (Stock, self.Unreachable):
            # There is nothing to end.
            pass
        super().reset()  # type: ignore[misc]

    def close(self) -> None:
        """Leave the daemon; its contexts stay."""
        link, self._daemon_link = self._daemon_link, None
        if link is not None:
            link.close()
        super().close()  # type: ignore[misc]

    def set_options(self, *args: Any, **kwargs: Any) -> None:
        """Take the options; modules go through standard input, unless somebody has said otherwise."""
        this: Any = self
        super().set_options(*args, **kwargs)  # type: ignore[misc]
        if this.get_option_and_origin('pipelining')[1] == 'default':
            this.set_option('pipelining', True)

    # Requests.

    def _command_request(self, cmd: str, data: bytes, sudoable: bool) -> dict[str, Any]:
        """Return the request that runs a command, or raise Stock."""
        this: Any = self
        shell = this._shell
        executable = wire.plain(this._play_context.executable or '')
        if getattr(shell, '_IS_WINDOWS', False):
            raise Stock
        line = commands.inner(cmd, executable)
        if line is None:
            line, executable = cmd, self.bare_command_shell()
        become = None
        if sudoable and this.become and this.become.success and this.become.success in line:
            behind = commands.behind(line, this.become, shell)
            executable = wire.plain(getattr(shell, 'executable', None) or '')
            become = self._become_request(this.become, shell)
            if behind is None or not executable:
                raise Stock
            line = wire.plain(behind)
        line, data = commands.with_old_pythons(line), commands.for_old_pythons(data)
        request = self._plain_request('command', words=[*executable.split(), '-c', line], input=data, become=become)
        if data:
            self._recognize(request, line, data)
        return request

    def _recognize(self, request: dict[str, Any], line: str, data: bytes) -> None:
        """Make of a request one for a packed module, if it is one."""
        try:
            found = payload.interpreter_of(shlex.split(line))
        except ValueError:
            return
        if found is None:
            return
        variables, interpreter = found
        request['interpreter'] = interpreter
        packed = payload.recognized(data)
        if packed is not None:
            fork = not any(name.startswith(AT_START) for name in variables)
            request.update(what='module', payload=tuple(packed), variables=variables, fork=fork)

    def _become_request(self, plugin: Any, shell: Any) -> dict[str, Any]:
        """Return how the become plugin's program is started, or raise Stock."""
        found = commands.become_of(plugin, shell)
        if found is None:
            raise Stock
        from econtext.parent import command
        stage = command.shell(command.candidates(None))
        return {'key': found.key, 'password': found.password, 'prompts': found.prompts,
                'seconds': self.become_patience(),
                'argv': commands.started(plugin, shell, stage)}

    def _plain_request(self, what: str, **more: Any) -> dict[str, Any]:
        """Return a request of the user who logs in."""
        if self._is_stock or self._wants_terminal():
            raise Stock
        return {'what': what, 'way': self.way(), 'become': None, 'interpreter': None, **more}

    def _wants_terminal(self) -> bool:
        asked = getattr(self, '_is_tty_requested', None)
        return bool(asked is not None and asked())

    # Answers.

    def _told(self, text: str, request: dict[str, Any]) -> tuple[int, bytes, bytes]:
        """Have a request carried out and say so; what is left to the stock plugin, that one says in the same words."""
        told = True
        try:
            return self._carried_out(request)
        except Stock:
            told = False
            raise
        finally:
            if told:
                self.say(text)

    def _carried_out(self, request: dict[str, Any]) -> tuple[int, bytes, bytes]:
        """Have a request carried out; return a status, output and errors."""
        this: Any = self
        attempts = self.attempts()
        for attempt in range(attempts):
            kind, value = self._ask_daemon(request)
            if kind != wire.REFUSED or value[0] not in PASSING or attempt == attempts - 1:
                break
            time.sleep(min(2 ** attempt - 1, LONGEST_PAUSE))
        if kind == wire.DONE:
            status, output, errors = value
            return status, output, errors
        if kind == wire.REFUSED:
            if value[0] in UNREACHABLE:
                raise self.Unreachable(unreachable(self.entered_by, *value))
            self._is_stock = True
            raise Stock
        if kind == wire.BECOME:
            if value[0] == 'wrong-password':
                raise self.Failed(f'Incorrect {this.become.name} password')
            # Whatever it is, the stock plugin says it in the words that people know.
            raise Stock
        if kind == wire.LOST:
            raise self.Unreachable(value)
        raise self.Failed(value)

    def _catch_up(self) -> None:
        """Have the daemon do what it has deferred, before the stock plugin does what comes next."""
        if self._daemon_link is not None:
            kind, value = self._ask_daemon({'what': 'catch up'})
            if kind == wire.LOST:
                raise self.Unreachable(value)
            if kind != wire.DONE:
                raise self.Failed(value)

    def _ask_daemon(self, request: dict[str, Any]) -> tuple[str, Any]:
        if self._daemon_link is None:
            self._daemon_link = Link(self.run_folder, self.run_pid)
        try:
            return self._daemon_link.ask(request, self.patience())
        except DaemonError as error:
            raise self.Unreachable(str(error)) from None


def recognize_file(request: dict[str, Any]) -> None:
    """Say in a request that puts a file what packed module Ansible has written there, if that is one."""
    folder, name = os.path.split(request['target'])
    if not os.path.basename(folder).startswith('ansible-tmp-') or not name.startswith(PROGRAMS):
        return
    with open(request['source'], 'rb') as opened:
        data = opened.read()
    packed, interpreter = payload.recognized(data), payload.shebang(data)
    if packed is not None and interpreter is not None:
        request.update(payload=tuple(packed), interpreter=interpreter)


def unreachable(program: str, kind: str, text: str, lines: Any) -> str:
    """Return the text for a host that `program` cannot enter: what the program said, else what econtext says."""
    said = lines if isinstance(lines, str) else '\n'.join(lines or ())
    via = f' via {program}' if program else ''
    return f'Failed to connect to the host{via}: {said.strip() or text}'
