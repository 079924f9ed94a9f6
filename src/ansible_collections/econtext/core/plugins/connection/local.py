"""Ansible's connection plugin for the machine that Ansible runs on, over econtext."""

from __future__ import annotations

import os

from ansible.plugins.connection import local as stock

from ansible_collections.econtext.core.plugins.plugin_utils.persistent import Plugin
from econtext.ansible.wire import plain

DOCUMENTATION = """
name: local
short_description: tasks on this machine, in one process for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play on the machine of Ansible, in a context that stays until the run ends.',
  Modules run in forks of a Python that has loaded the common parts of Ansible before.]
notes: [The remote user is not used.]
extends_documentation_fragment: [econtext.core.shared]
options:
  become_strip_preamble:
    description: Whether to remove what becoming another user prints, where the stock plugin does so.
    type: bool
    default: true
    vars:
    - {name: ansible_local_become_strip_preamble}
  become_success_timeout:
    description: Seconds to wait for another user, where the stock plugin becomes that.
    type: int
    default: 10
    vars:
    - {name: ansible_local_become_success_timeout}
"""

# What Ansible itself reads: each option and variable of the release that is installed.
vars().update(DOCUMENTATION=stock.DOCUMENTATION)


class Connection(Plugin, stock.Connection):
    """This machine, with one process for each user in a run."""

    # No host is between: files are copied as ever, behind what the daemon has deferred.
    carries_files = False

    def way(self):
        # Another user may not enter the folder by its path, but may well be in it.
        folder = None if self.cwd is None else plain(os.path.abspath(os.fsdecode(self.cwd)))
        return {'connector': 'local', 'arguments': [], 'options': {'cwd': folder}, 'key': repr(('local', folder))}
