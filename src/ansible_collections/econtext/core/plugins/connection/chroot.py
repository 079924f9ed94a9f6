# Copyright: the econtext authors. MIT License, see LICENSE.
"""Ansible's connection plugin for folders that become the root of all files, over econtext."""

from __future__ import annotations

import os

from ansible.errors import AnsibleError

from ansible_collections.econtext.core.plugins.plugin_utils.entered import Entered

DOCUMENTATION = """
name: chroot
short_description: folders of this machine as roots, each entered once for a whole run
author: [The econtext authors]
description: ['Runs the tasks of a play with a folder as the root of all files, by one C(chroot) for each user in a
    run.', 'All options and variables of P(community.general.chroot#connection) count.', 'A folder without Python takes
    C(raw) only, by the stock plugin where that is installed.']
notes: [The remote user is not used.]
extends_documentation_fragment: [econtext.core.shared.chroot]
options:
  chroot_exe:
    description: Path of the program C(chroot).
    type: string
    default: chroot
    ini:
    - {section: chroot_connection, key: exe}
    env:
    - {name: ANSIBLE_CHROOT_EXE}
    vars:
    - {name: ansible_chroot_exe}
  disable_root_check:
    description: Whether to try without being root.
    type: bool
    default: false
    ini:
    - {section: chroot_connection, key: disable_root_check}
    env:
    - {name: ANSIBLE_CHROOT_DISABLE_ROOT_CHECK}
    vars:
    - {name: ansible_chroot_disable_root_check}
"""


class Connection(Entered):
    """A folder as the root of all files."""

    transport = 'community.general.chroot'
    connector = 'chroot'
    default_user = 'root'

    def entry(self):
        if os.geteuid() != 0 and not self.option('disable_root_check'):
            raise AnsibleError('a folder as the root of all files takes root: run Ansible as root, or set '
                               'disable_root_check where chroot_exe can do without')
        return {'directory': self.directory(), 'chroot_args': self.lines('chroot_extra_args'),
                'chroot_path': self.option('chroot_exe')}
