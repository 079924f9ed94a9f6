# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for containers of Docker, over econtext."""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.entered import Entered
from econtext.ansible import entering

DOCUMENTATION = """
name: docker
short_description: containers of Docker, each entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play in a container that runs, by one C(docker exec) for each user in a run.', 'All
    options and variables of P(community.docker.docker#connection) count.', 'A container without Python takes C(raw)
    and files only, by the stock plugin where that is installed, else by the program that enters.']
extends_documentation_fragment: [econtext.core.shared.docker]
options:
  container_timeout:
    description: Seconds to wait for the container.
    type: integer
    default: 10
    ini:
    - {section: defaults, key: timeout}
    - {section: docker_connection, key: timeout}
    env:
    - {name: ANSIBLE_TIMEOUT}
    - {name: ANSIBLE_DOCKER_TIMEOUT}
    vars:
    - {name: ansible_docker_timeout}
    cli:
    - {name: timeout}
  docker_extra_args:
    description: More arguments of C(docker), before C(exec), in one text that is read like a line for a shell.
    type: string
    default: ''
    ini:
    - {section: docker_connection, key: extra_cli_args}
    vars:
    - {name: ansible_docker_extra_args}
  extra_env:
    description: Variables of the environment of all that runs in the container. Names and values are texts.
    type: dict
    vars:
    - {name: ansible_docker_extra_env}
  privileged:
    description: Whether the commands have all rights, those to leave the container included.
    type: boolean
    default: false
    ini:
    - {section: docker_connection, key: privileged}
    env:
    - {name: ANSIBLE_DOCKER_PRIVILEGED}
    vars:
    - {name: ansible_docker_privileged}
  working_dir:
    description: Folder in the container where the commands begin.
    type: string
    ini:
    - {section: docker_connection, key: working_dir}
    env:
    - {name: ANSIBLE_DOCKER_WORKING_DIR}
    vars:
    - {name: ansible_docker_working_dir}
"""


class Connection(Entered):
    """A container of Docker."""

    transport = 'community.docker.docker'
    connector = 'docker'

    def entering_seconds(self):
        return float(self.option('container_timeout') or 10) + 20

    def entry(self):
        args = entering.before('-e', self.variables('extra_env'))
        if self.option('working_dir'):
            args += ['-w', self.option('working_dir')]
        if self.option('privileged'):
            args.append('--privileged')
        return {'container': self.option('remote_addr'), 'user': self.option('remote_user'), 'args': args,
                'docker_args': self.lines('docker_extra_args'), 'docker_path': self.option('docker_path')}
