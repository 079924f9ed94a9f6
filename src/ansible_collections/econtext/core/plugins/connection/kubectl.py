# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for pods of Kubernetes, over econtext."""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.pods import Pod

DOCUMENTATION = """
name: kubectl
short_description: containers in pods of Kubernetes, each entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in a container of a pod, by one C(kubectl exec) for each user in a run.', 'All
    options and variables of P(kubernetes.core.kubectl#connection) count.', 'A container without Python takes C(raw)
    and files only, by the stock plugin where that is installed, else by the program that enters.']
notes: [The remote user is not used. Kubernetes runs commands as the user of the container.]
extends_documentation_fragment: [econtext.core.shared.kubectl]
options:
  kubectl_username:
    description: Name to give to the server.
    type: string
    default: ''
    vars:
    - {name: ansible_kubectl_username}
    - {name: ansible_kubectl_user}
    env:
    - {name: K8S_AUTH_USERNAME}
  kubectl_password:
    description: Password for the server. Other users of the machine of Ansible can see this.
    type: string
    default: ''
    vars:
    - {name: ansible_kubectl_password}
    env:
    - {name: K8S_AUTH_PASSWORD}
"""


class Connection(Pod):
    """A container of a pod of Kubernetes."""

    transport = 'kubernetes.core.kubectl'
    name = 'kubectl'
