# Copyright: the econtext authors. MIT License, see LICENSE.
"""
What the connection plugins for instances of LXD and of Incus have in common.

Threads: one worker is one thread.
"""

from __future__ import annotations

from ansible_collections.econtext.core.plugins.plugin_utils.entered import Entered

ROOT = 'root', '0', ''


class Instance(Entered):
    """An instance, whose connector has the name of the plugin."""

    default_user = 'root'

    def own(self, name):
        """Return an option whose name begins with that of the plugin."""
        return self.option(f'{self.connector}_{name}')

    def connector_name(self):
        return 'command' if self.by_su() else self.connector

    def by_su(self):
        """Say whether the user is one that only a program there knows."""
        user = str(self.option('remote_user') or '')
        return user not in ROOT and not user.replace(':', '').isdigit()

    def entry(self):
        user = str(self.option('remote_user') or '')
        place = f"{self.option('remote')}:{self.option('remote_addr').partition('.')[0]}"
        program, args, project = self.own('path'), self.lines(f'{self.connector}_extra_args'), self.option('project')
        if self.by_su():
            words = [program, *args, 'exec', place, '-T', *([f'--project={project}'] if project else []), '--']
            return {'argv': [*words, self.own('become_method'), user, '-c'], 'shell': True, 'tty': False}
        return {'container': place, 'project': project, 'user': None if user in ROOT else user,
                f'{self.connector}_args': args, f'{self.connector}_path': program}
