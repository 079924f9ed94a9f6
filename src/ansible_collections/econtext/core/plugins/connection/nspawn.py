# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for folders that systemd-nspawn makes containers of, over econtext."""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.entered import Entered

DOCUMENTATION = """
name: nspawn
short_description: folders of this machine as containers of systemd-nspawn, each for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in a container that C(systemd-nspawn) makes of a folder. The container lasts as
    long as the run.', 'Ansible itself has no such plugin.']
extends_documentation_fragment: [econtext.core.shared.nspawn]
options: {}
"""


class Connection(Entered):
    """A folder as a container of systemd-nspawn."""

    transport = 'nspawn'
    connector = 'systemd_nspawn'

    def entry(self):
        return {'directory': self.directory(), 'user': self.option('remote_user'),
                'nspawn_args': self.lines('nspawn_extra_args'), 'nspawn_path': self.option('nspawn_path')}
