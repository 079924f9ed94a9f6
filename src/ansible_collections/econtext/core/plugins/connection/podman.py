# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for containers of Podman, over econtext."""

from __future__ import annotations

import shlex

from ansible_collections.econtext.core.plugins.plugin_utils.entered import Entered
from econtext.ansible import commands, entering
from econtext.ansible.wire import plain

DOCUMENTATION = """
name: podman
short_description: containers of Podman, each entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in a container that runs, by one C(podman exec) for each user in a run.', 'All
    options and variables of P(containers.podman.podman#connection) count.', 'Files go through the connection, and need
    no mounted container. A container without Python takes C(raw) and files only.']
extends_documentation_fragment: [econtext.core.shared.podman]
options:
  container_timeout:
    description: Seconds that a command may take, and entering the container. 0 for as long as it takes.
    type: int
    default: 0
    ini:
    - {section: defaults, key: podman_timeout}
    env:
    - {name: ANSIBLE_PODMAN_TIMEOUT}
    vars:
    - {name: ansible_podman_timeout}
  extra_env_vars:
    description: Variables of the environment of all that runs in the container. Names and values are texts.
    type: dict
    default: {}
    vars:
    - {name: ansible_podman_extra_env}
  ignore_mount_errors:
    description: Whether the stock plugin copies files also where it cannot mount the container.
    type: bool
    default: true
    vars:
    - {name: ansible_podman_ignore_mount_errors}
  mount_detection:
    description: Whether the stock plugin copies files by mounting the container.
    type: bool
    default: true
    env:
    - {name: ANSIBLE_PODMAN_MOUNT_DETECTION}
    vars:
    - {name: ansible_podman_mount_detection}
  podman_executable:
    description: Path of the program C(podman) on the machine of Ansible.
    type: str
    default: podman
    ini:
    - {section: defaults, key: podman_executable}
    env:
    - {name: ANSIBLE_PODMAN_EXECUTABLE}
    vars:
    - {name: ansible_podman_executable}
    - {name: ansible_podman_path}
  podman_extra_args:
    description: More arguments of C(podman), before C(exec), in one text that is read like a line for a shell.
    type: str
    default: ''
    ini:
    - {section: defaults, key: podman_extra_args}
    env:
    - {name: ANSIBLE_PODMAN_EXTRA_ARGS}
    vars:
    - {name: ansible_podman_extra_args}
  privilege_escalation_method:
    description: What the stock plugin puts before commands for another user. With econtext the become plugin does this.
    type: str
    default: auto
    choices: [auto, sudo, su, none]
    vars:
    - {name: ansible_podman_privilege_escalation}
  remote_addr:
    description: Name or number of the container, which has to run.
    type: string
    default: inventory_hostname
    ini:
    - {section: defaults, key: remote_addr}
    env:
    - {name: ANSIBLE_PODMAN_HOST}
    vars:
    - {name: inventory_hostname}
    - {name: ansible_host}
    - {name: ansible_podman_host}
  working_directory:
    description: Folder in the container where the commands begin.
    type: str
    vars:
    - {name: ansible_podman_working_directory}
"""


class Connection(Entered):
    """A container of Podman."""

    transport = 'containers.podman.podman'
    connector = 'podman'

    def as_stock_takes(self, cmd):
        # It starts the words of a command without a shell: those of `raw` have none of their own.
        if commands.inner(plain(cmd), plain(self._play_context.executable)) is None:
            return shlex.join([self.shell_path(), '-c', plain(cmd)])
        return cmd

    def patience(self):
        return self.option('container_timeout') or None

    def entry(self):
        args = entering.before('-e', self.variables('extra_env_vars'))
        if self.option('working_directory'):
            args += ['-w', self.option('working_directory')]
        return {'container': self.option('remote_addr'), 'user': self.option('remote_user'), 'args': args,
                'podman_args': self.lines('podman_extra_args'), 'podman_path': self.option('podman_executable')}
