# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for pods of OpenShift, over econtext."""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.pods import Pod

DOCUMENTATION = """
name: oc
short_description: containers in pods of OpenShift, each entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in a container of a pod, by one C(oc exec) for each user in a run.', 'All
    options and variables of P(community.okd.oc#connection) count.', 'A container without Python takes C(raw)
    and files only, by the stock plugin where that is installed, else by the program that enters.']
notes: [The remote user is not used. OpenShift runs commands as the user of the container.]
extends_documentation_fragment: [econtext.core.shared.oc]
options: {}
"""


class Connection(Pod):
    """A container of a pod of OpenShift."""

    transport = 'community.okd.oc'
    name = 'oc'
