# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for machines that systemd-machined knows, over econtext."""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.entered import Entered

DOCUMENTATION = """
name: machinectl
short_description: containers and machines of systemd, each entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in a machine that C(machinectl list) shows and that systemd has booted, by one
    C(systemd-run --machine) for each user in a run.', 'Ansible itself has no such plugin.']
extends_documentation_fragment: [econtext.core.shared.machinectl]
options: {}
"""


class Connection(Entered):
    """A machine that systemd-machined knows."""

    transport = 'machinectl'
    connector = 'machinectl'

    def entry(self):
        return {'machine': self.option('remote_addr'), 'user': self.option('remote_user'),
                'machinectl_args': self.lines('machinectl_extra_args'),
                'machinectl_path': self.option('machinectl_path')}
