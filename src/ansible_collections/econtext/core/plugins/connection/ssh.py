"""Ansible's connection plugin for hosts that are reached by OpenSSH, over econtext."""

from __future__ import annotations

DOCUMENTATION = """
name: ssh
"""

import multiprocessing
import os

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ssh as stock

from econtext.ansible.connection import Persistent, Stock
from econtext.ansible.wire import plain

# What Ansible itself reads: each option and variable of the release that is installed.
globals()['DOCUMENTATION'] = stock.DOCUMENTATION


class Connection(Persistent, stock.Connection):
    """A host that is entered once in a run."""

    Unreachable = AnsibleConnectionFailure
    Failed = AnsibleError

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.run_folder = constants.DEFAULT_LOCAL_TMP
        self.run_pid = os.getpid() if multiprocessing.parent_process() is None else os.getppid()

    def way(self):
        if getattr(self, '_ec_way', None) is None:
            self._ec_way = self._make_way()
        return self._ec_way

    def _make_way(self):
        host = plain(self.get_option('host') or self._play_context.remote_addr)
        words = self._words(host)
        password = plain(self.get_option('password') or self._play_context.password or None)
        seconds = float(self.get_option('timeout') or 10) + 20
        program, args = words[0], [word for word in words[1:] if set(word[1:]) != {'v'}]
        options = {
            'ssh_path': program, 'password': password, 'connect_timeout': seconds,
            # One connection for all of the run; ssh keeps no other behind it.
            'ssh_args': ['-o', 'ControlMaster=no', '-o', 'ControlPath=none', '-T', *args]}
        return {'connector': 'ssh', 'arguments': [host], 'options': options, 'key': repr((host, words, password))}

    def _words(self, host):
        """Return the words with which the stock plugin would start ssh, but for the host and what types a password."""
        if self._option('pkcs11_provider'):
            raise Stock
        program = self.get_option('ssh_executable')
        words = [os.fsdecode(plain(word)) for word in self._build_command(program, 'ssh', host)]
        for end in self.sshpass_pipe or ():
            os.close(end)
        self.sshpass_pipe = None
        if program not in words or words[-1] != host:
            raise Stock
        return words[words.index(program):-1]

    @staticmethod
    def _sshpass_available():
        # econtext types passwords itself; where the stock plugin is to do so, it finds out by itself.
        return True

    def attempts(self):
        return int(self._option('reconnection_retries') or 0) + 1

    def _option(self, name):
        try:
            return self.get_option(name)
        except KeyError:
            return None
