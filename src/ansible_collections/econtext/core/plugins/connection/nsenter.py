# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for the host of the container that Ansible runs in, over econtext."""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.entered import Entered

DOCUMENTATION = """
name: nsenter
short_description: the host of the container that Ansible runs in, entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in the namespaces of another process of the machine, by one C(nsenter) for each
    user in a run. From a container with all rights and the processes of the host, that is the host.', 'All options and
    variables of P(community.docker.nsenter#connection) count.']
notes: [The remote user is not used.]
extends_documentation_fragment: [econtext.core.shared.nsenter]
options:
  nsenter_pid:
    description: Number of the process whose namespaces are entered.
    type: int
    default: 1
    ini:
    - {section: nsenter_connection, key: nsenter_pid}
    env:
    - {name: ANSIBLE_NSENTER_PID}
    vars:
    - {name: ansible_nsenter_pid}
"""


class Connection(Entered):
    """The namespaces of another process."""

    transport = 'community.docker.nsenter'
    connector = 'nsenter'
    default_user = 'root'

    def entry(self):
        return {'pid': self.option('nsenter_pid'), 'namespaces': ['ipc', 'mount', 'net', 'pid', 'uts'],
                'nsenter_args': ['--preserve-credentials', *self.lines('nsenter_extra_args')],
                'nsenter_path': self.option('nsenter_path')}
