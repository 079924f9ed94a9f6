"""
Where the hosts of a fleet may come from; each returns a list of Hosts for ``broker.fleet()``.

``ssh_config(patterns)`` reads the user's ssh configuration, ``ansible()`` any inventory of Ansible, ``toml()`` a
file of groups and options.
"""

from __future__ import annotations

from econtext.controller.fleet.ansible import ansible
from econtext.controller.fleet.ssh_config import ssh_config
from econtext.controller.fleet.tables import toml

__all__ = ['ansible', 'ssh_config', 'toml']
