"""
Where the hosts of a fleet may come from; each returns a list of Hosts for ``broker.fleet()``.

``ssh_config(patterns)`` reads the user's ssh configuration.
"""

from __future__ import annotations

from econtext.controller.fleet.ssh_config import ssh_config

__all__ = ['ssh_config']
