# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for instances of Incus, over econtext."""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.instances import Instance

DOCUMENTATION = """
name: incus
short_description: instances of Incus, each entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in an instance that runs, by one C(incus exec) for each user in a run.', 'All
    options and variables of P(community.general.incus#connection) count.', 'An instance without Python takes C(raw)
    and files only, by the stock plugin where that is installed, else by the program that enters.']
extends_documentation_fragment: [econtext.core.shared.incus]
options:
  project:
    description: Project of the instance.
    type: string
    default: default
    vars:
    - {name: ansible_incus_project}
  remote_user_id_command:
    description: Program there that tells the number of a user, for the stock plugin.
    type: string
    default: /bin/id
    vars:
    - {name: ansible_incus_user_id_command}
"""


class Connection(Instance):
    """An instance of Incus."""

    transport = 'community.general.incus'
    connector = 'incus'
