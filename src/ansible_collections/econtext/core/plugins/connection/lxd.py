# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for instances of LXD, over econtext."""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.instances import Instance

DOCUMENTATION = """
name: lxd
short_description: instances of LXD, each entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in an instance that runs, by one C(lxc exec) for each user in a run.',
  'All options and variables of P(community.general.lxd#connection) count.', 'An instance without Python takes C(raw)
    and files only, by the stock plugin where that is installed, else by the program that enters.']
extends_documentation_fragment: [econtext.core.shared.lxd]
options: {}
"""


class Connection(Instance):
    """An instance of LXD."""

    transport = 'community.general.lxd'
    connector = 'lxd'
