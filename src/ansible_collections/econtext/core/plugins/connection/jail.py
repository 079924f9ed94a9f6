# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for jails of FreeBSD, over econtext."""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.entered import Entered

DOCUMENTATION = """
name: jail
short_description: jails of FreeBSD, each entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in a jail, by one C(jexec) for each user in a run.', 'All options and variables
    of P(community.general.jail#connection) count.', 'A jail without Python takes C(raw)
    and files only, by the stock plugin where that is installed, else by the program that enters.']
extends_documentation_fragment: [econtext.core.shared.jail]
options: {}
"""


class Connection(Entered):
    """A jail of FreeBSD."""

    transport = 'community.general.jail'
    connector = 'jail'

    def entry(self):
        user, args = self.option('remote_user'), self.lines('jail_extra_args')
        if user:
            # The home of the user, and not that of root.
            args = ['-l', *args]
        return {'jail': self.option('remote_addr'), 'user': user, 'jexec_args': args,
                'jexec_path': self.option('jail_path')}
