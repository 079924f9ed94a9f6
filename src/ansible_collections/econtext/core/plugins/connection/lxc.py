# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for containers of LXC, over econtext."""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.entered import Entered

DOCUMENTATION = """
name: lxc
short_description: containers of LXC, each entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in a container that runs, by one C(lxc-attach) for each user in a run. The
    Python library of LXC is not needed.', 'All options and variables of P(community.general.lxc#connection) count.', 'A
    container without Python takes C(raw) and files only, by C(lxc-attach).']
notes: [The remote user is not used.]
extends_documentation_fragment: [econtext.core.shared.lxc]
options: {}
"""


class Connection(Entered):
    """A container of LXC."""

    # The stock plugin needs a library; what this one does without Python there needs lxc-attach alone.
    transport = 'lxc'
    connector = 'lxc'

    def entry(self):
        return {'container': self.option('remote_addr'), 'lxc_args': self.lines('lxc_extra_args'),
                'lxc_path': self.option('lxc_path')}
