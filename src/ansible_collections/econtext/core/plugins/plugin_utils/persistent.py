# Copyright: the econtext authors. MIT License, see LICENSE.
"""
What all connection plugins of the collection have in common, of that which needs Ansible.

Invariants:

* The daemon of a run is found by the folder of the run and its main process, in the main process and in workers.

Threads: one worker is one thread.
"""

from __future__ import annotations

import multiprocessing
import os

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.executor.process.worker import WorkerProcess
from ansible.utils.display import Display

from econtext.ansible.connection import Persistent
from econtext.ansible.wire import plain


class Plugin(Persistent):
    """A connection plugin: a class of this one and of what does what econtext cannot, in this order."""

    Unreachable = AnsibleConnectionFailure
    Failed = AnsibleError

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.run_folder = constants.DEFAULT_LOCAL_TMP
        # Of a worker whose run was killed, the system tells another parent.
        worker = isinstance(multiprocessing.current_process(), WorkerProcess)
        self.run_pid = multiprocessing.parent_process().pid if worker else os.getpid()

    def say(self, text):
        Display().vvv(text, host=plain(self.option('host') or self._play_context.remote_addr))

    def option(self, name):
        """Return an option without Ansible's marks; None if the release that is installed has no such option."""
        try:
            return plain(self.get_option(name))
        except KeyError:
            return None
