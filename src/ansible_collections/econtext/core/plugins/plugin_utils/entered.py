# Copyright: the econtext authors. MIT License, see LICENSE.
"""
What the connection plugins for containers, pods and folders have in common: a program of this machine enters the place.

A plugin is a class of `Entered` that names a connector of econtext and returns its options.

Invariants:

* What econtext cannot do, the stock plugin does where it is installed and can be made.  Where not, a command runs by
  the very words by which the connector enters: no Python is needed there, a shell is.
* Whichever of them runs a command, it is in the same place, and as the same user.

Threads: one worker is one thread.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shlex
import subprocess

from ansible.errors import AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import connection_loader

from ansible_collections.econtext.core.plugins.plugin_utils.persistent import Plugin
from econtext.ansible import entering
from econtext.ansible.wire import plain


class Unaided(ConnectionBase):
    """The stock plugin where there is one; else the command line of the program that enters, once for each command."""

    def __init__(self, play_context, *args, **kwargs):
        super().__init__(play_context, *args, **kwargs)
        self._ec_made = (args, {**kwargs, 'shell': self._shell})
        self._ec_options = ((), {})
        self._ec_others = {}

    def set_options(self, *args, **kwargs):
        super().set_options(*args, **kwargs)
        self._ec_options = (args, kwargs)
        self._ec_others.clear()

    def _connect(self):
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        stock = self._stock()
        # Where it takes no standard input, what stands there would be lost.
        if stock is not None and (stock.has_pipelining or not in_data):
            return stock.exec_command(self.as_stock_takes(cmd), in_data=in_data, sudoable=sudoable)
        # That of this machine knows how a become plugin is answered.
        local = self._other('ansible.builtin.local', copy.copy(self._play_context))
        # On a terminal of its own it would lose standard input.
        local.set_option('pipelining', True)
        return local.exec_command(
            shlex.join(self._words([self.shell_path(), '-c', plain(cmd)])), in_data=in_data, sudoable=sudoable)

    def as_stock_takes(self, cmd):
        """Return a command in the form that the stock plugin runs as this one does."""
        return cmd

    def put_file(self, in_path, out_path):
        stock = self._stock()
        if stock is not None:
            return stock.put_file(in_path, out_path)
        if not os.path.isfile(plain(in_path)):
            raise AnsibleFileNotFound(f'{in_path} is no file of this machine')
        with open(plain(in_path), 'rb') as source:
            return self._copied(entering.write(out_path), f'failed to transfer file to {out_path}', stdin=source)

    def fetch_file(self, in_path, out_path):
        stock = self._stock()
        if stock is not None:
            return stock.fetch_file(in_path, out_path)
        with open(plain(out_path), 'wb') as target:
            return self._copied(
                entering.read(in_path), f'failed to fetch file {in_path}', stdin=subprocess.DEVNULL, stdout=target)

    def reset(self):
        stock = self._ec_others.get(self.transport)
        if stock is not None:
            stock.reset()

    def close(self):
        for other in self._ec_others.values():
            if other is not None:
                other.close()
        self._ec_others.clear()
        self._connected = False

    def _copied(self, command, failure, **streams):
        done = subprocess.run(
            self._words([self.shell_path(), '-c', *command]), **{'stdout': subprocess.PIPE, **streams},
            stderr=subprocess.PIPE)
        if done.returncode:
            raise AnsibleError(f'{failure}: {done.stderr.decode("utf-8", "replace").strip()}')

    def _words(self, command):
        """Return the words that run a command there."""
        way = self.way()
        with self.named():
            return entering.words(way, command)

    @contextlib.contextmanager
    def named(self):
        """Give an error about an option to Ansible, with the name of the plugin."""
        try:
            yield
        except ValueError as error:
            raise AnsibleError(f'{self.transport}: {error}') from None

    def _stock(self):
        """Return the stock plugin for the same place; None if there is none."""
        return self._other(self.transport, self._play_context) if '.' in self.transport else None

    def _other(self, name, play_context):
        """Return a connection plugin with the options of this one, made once; None if it is not there."""
        if name not in self._ec_others:
            args, kwargs = self._ec_made
            try:
                found = connection_loader.get(name, play_context, *args, **kwargs)
            except Exception as error:  # what it needs is not there
                self.say(f'{name} cannot be used: {error}')
                found = None
            if found is not None:
                options, named = self._ec_options
                found.set_options(*options, **named)
                found.set_become_plugin(self.become)
            self._ec_others[name] = found
        return self._ec_others[name]


class Entered(Plugin, Unaided):
    """A place that is entered once in a run, by a connector of econtext."""

    has_pipelining = True
    connector = ''

    def connector_name(self):
        """Return the name of the connector."""
        return self.connector

    def entry(self):
        """Return the options of the connector, but for the interpreter."""
        raise NotImplementedError

    def entering_seconds(self):
        """Return how many seconds entering may take."""
        return self.patience() or 30.0

    def way(self):
        if getattr(self, '_ec_way', None) is None:
            with self.named():
                self._ec_way = entering.way(self.connector_name(), self.entry(), self.entering_seconds())
        return self._ec_way

    def set_options(self, *args, **kwargs):
        super().set_options(*args, **kwargs)
        self._ec_way = None

    def put_file(self, in_path, out_path):
        return super().put_file(in_path, entering.absolute(plain(out_path)))

    def fetch_file(self, in_path, out_path):
        return super().fetch_file(entering.absolute(plain(in_path)), out_path)

    def bare_command_shell(self):
        return self.shell_path()

    def shell_path(self):
        return self.option('executable') or plain(self._play_context.executable) or '/bin/sh'

    def lines(self, name):
        """Return the words of an option that is read like a line for a shell."""
        try:
            return shlex.split(self.option(name) or '')
        except ValueError as error:
            raise AnsibleError(f'{name} cannot be read: {error}') from None

    def variables(self, name):
        """Return NAME=VALUE for each variable of an option."""
        return entering.environment(self.option(name))

    def directory(self):
        """Return the folder that is the address."""
        path = self.option('remote_addr')
        if not os.path.isdir(path):
            raise AnsibleError(f'{path} is no folder of this machine')
        return os.path.abspath(path)
