"""
The connectors, as the program calls them.

``econtext.ssh.connect(via, …)`` and ``via.ssh(…)`` are the same; `via` is a broker,
or a context from which the new one is started.

A family of connectors has a module of its own beside this one, with a class in which
each connector is a method: documented and typed.  To add a connector
of ours, write a module in ``connectors`` and a method in the class of its family. Then
run ``scripts/public_names.py`` and ``scripts/reference.py``, which write its name wherever
else it has to stand.

Any thread of the program may enter.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, cast

from econtext.controller.connect import registry
from econtext.controller.connect.containers import ContainerConnectors
from econtext.controller.connect.hosts import HostConnectors
from econtext.controller.connect.local import LocalConnectors
from econtext.controller.connect.namespaces import NamespaceConnectors
from econtext.controller.connect.options import C, Common, ConnectRequest, answering
from econtext.controller.connect.users import UserConnectors


class Connectors(
    LocalConnectors[C], HostConnectors[C], UserConnectors[C], ContainerConnectors[C], NamespaceConnectors[C],
):
    """What contexts can be started from."""

    def connect(self, connector: str | ModuleType, /, **options: Any) -> C:
        """
        Start a context by any connector, also a third party's.

        `connector` is its name, or its module.  Names are those of the methods
        here, and the entry points of group ``econtext.connectors`` that installed
        packages have.  The `options` are the connector's own, its answers to
        prompts, `answers` as for ssh() if it knows no question but has programs
        that may ask, and the options of every connector.

        Returns at once.  Raises ValueError for a name that nothing has; TypeError
        or ValueError for options that make no sense; that it could not be started
        is a ConnectError from its first use.

        Example::

            box = web.connect('firecracker', machine='vm1', user='app')
            print(box.call(os.uname))
        """
        module = registry.find(connector)
        answers = {name: options.pop(name) for name in getattr(module, 'ANSWERS', ()) if name in options}
        if 'answers' in options and 'question' in getattr(module, 'ANSWERS', ()):
            answers['question'] = answering(options.pop('answers'))
            if 'own_prompt' in getattr(module, 'OPTIONS', ()):
                # So that its questions can be told apart, as sudo() has it.
                options.setdefault('own_prompt', answers['question'] is None)
        common = {name: options.pop(name) for name in Common.__annotations__ if name in options}
        # By its name where it has one: an attached program and its broker have modules of their own.
        return self._start(ConnectRequest(
            connector if isinstance(connector, str) else module, options, answers, cast('Common', common)))
