# Copyright: the econtext authors. MIT License, see LICENSE.
"""
What the connection plugins for pods have in common: the options of kubectl, and of programs that have its command line.

Invariants:

* A configuration that is a dictionary lies in the private folder of the run, as long as the run, for its user alone.

Threads: one worker is one thread.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.econtext.core.plugins.plugin_utils.entered import Entered
from econtext.ansible import entering

# Option, of which NAME stands for the program's name -> the program's own.
FLAGS = (
    ('NAME_kubeconfig', '--kubeconfig'), ('NAME_host', '--server'), ('NAME_username', '--username'),
    ('NAME_password', '--password'), ('NAME_token', '--token'), ('client_cert', '--client-certificate'),
    ('client_key', '--client-key'), ('ca_cert', '--certificate-authority'))


class Pod(Entered):
    """A container of a pod."""

    connector = 'kubectl'
    #: The program.
    name = ''

    def own(self, name):
        """Return an option whose name begins with that of the program."""
        return self.option(f'{self.name}_{name}')

    def entry(self):
        environment = self.variables(f'{self.name}_local_env_vars')
        program = self.own('path') or self.name
        args = self.flags() + self.lines(f'{self.name}_extra_args')
        if environment:
            # The connector has no option for the environment of the program.
            program, args = 'env', [*environment, program, *args]
        return {
            'pod': self.own('pod') or self._play_context.remote_addr, 'container': self.own('container'),
            'namespace': self.own('namespace'), 'kube_context': self.own('context'),
            'kubectl_args': args, 'kubectl_path': program}

    def flags(self):
        """Return the arguments that say by whom and how the server is asked."""
        found = []
        for name, flag in FLAGS:
            value = self.option(name.replace('NAME', self.name))
            if isinstance(value, dict):
                value = self.written(value)
            if value:
                found.append(f'{flag}={value}')
        checked = self.option('validate_certs')
        if checked not in (None, ''):
            found.append(f'--insecure-skip-tls-verify={str(not boolean(checked, strict=False)).lower()}')
        return found

    def written(self, configuration):
        """Return the path of a file that holds the configuration."""
        data = json.dumps(configuration).encode()
        path = os.path.join(self.run_folder, entering.SECRET + hashlib.sha256(data).hexdigest())
        if not os.path.exists(path):
            end, new = tempfile.mkstemp(prefix=entering.SECRET, dir=self.run_folder)
            with open(end, 'wb') as file:
                file.write(data)
            os.rename(new, path)
        return path
