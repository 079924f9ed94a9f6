"""
Execution contexts: places, usually on other machines, where Python functions run.

A context needs nothing but a Python interpreter there, and the ``ssh`` client
here.  Start with ``Broker``::

    import econtext

    with econtext.Broker() as broker:
        web = broker.ssh('web1')
        print(web.call(os.getloadavg))

The rings, by folder: ``core`` runs in every context, ``parent`` and ``connectors``
in those that start others, ``controller`` in the user's own program only.
"""

from __future__ import annotations

import importlib

# Not from `typing`, which takes longer to import than all the rest of this.
TYPE_CHECKING = False

__version__ = '0.1.0'

#: True in a context, False in the program that started it.
slave = False

# The one list of public names: each name, and the module that has it, which is imported when the name is first used.
# Connectors need no line here. After a change, run scripts/public_names.py.
HOMES = {
    'Attachment': 'controller.attach.client',
    'attach': 'controller.attach.client',
    'Broker': 'controller.broker',
    'BytesLine': 'controller.commands.lines',
    'Line': 'controller.commands.lines',
    'RunLines': 'controller.commands.running',
    'Context': 'controller.context',
    'Report': 'controller.doctor.examination',
    'Step': 'controller.doctor.examination',
    'doctor': 'controller.doctor.examination',
    'CallTimeout': 'controller.errors',
    'ConnectError': 'controller.errors',
    'ContextLost': 'controller.errors',
    'CorruptStream': 'controller.errors',
    'EcontextError': 'controller.errors',
    'InternalError': 'controller.errors',
    'Interrupted': 'controller.errors',
    'NotAllowed': 'controller.errors',
    'FleetExecutor': 'controller.fleet.executor',
    'Fleet': 'controller.fleet.fleet',
    'Futures': 'controller.fleet.futures',
    'HostFuture': 'controller.fleet.futures',
    'Host': 'controller.fleet.hosts',
    'Progress': 'controller.fleet.progress',
    'FleetError': 'controller.fleet.results',
    'Results': 'controller.fleet.results',
    'FleetStream': 'controller.fleet.streams',
    'register': 'controller.protocol.classes',
    'CallError': 'controller.raised',
    'Secret': 'controller.secret',
    'program': 'controller.session.callbacks',
    'Channel': 'controller.session.channels',
    'Future': 'controller.session.futures',
    'select': 'controller.session.selection',
    'Stream': 'controller.session.streams',
    'inventory': '',
    'local': '',
    'ssh': '',
    'sudo': '',
    'testing': '',
    'utils': '',
}

# Written by scripts/public_names.py, up to END.
if TYPE_CHECKING:
    from typing import Any

    from econtext import inventory as inventory
    from econtext import local as local
    from econtext import ssh as ssh
    from econtext import sudo as sudo
    from econtext import testing as testing
    from econtext import utils as utils
    from econtext.controller.attach.client import Attachment as Attachment
    from econtext.controller.attach.client import attach as attach
    from econtext.controller.broker import Broker as Broker
    from econtext.controller.commands.lines import BytesLine as BytesLine
    from econtext.controller.commands.lines import Line as Line
    from econtext.controller.commands.running import RunLines as RunLines
    from econtext.controller.context import Context as Context
    from econtext.controller.doctor.examination import Report as Report
    from econtext.controller.doctor.examination import Step as Step
    from econtext.controller.doctor.examination import doctor as doctor
    from econtext.controller.errors import CallTimeout as CallTimeout
    from econtext.controller.errors import ConnectError as ConnectError
    from econtext.controller.errors import ContextLost as ContextLost
    from econtext.controller.errors import CorruptStream as CorruptStream
    from econtext.controller.errors import EcontextError as EcontextError
    from econtext.controller.errors import InternalError as InternalError
    from econtext.controller.errors import Interrupted as Interrupted
    from econtext.controller.errors import NotAllowed as NotAllowed
    from econtext.controller.fleet.executor import FleetExecutor as FleetExecutor
    from econtext.controller.fleet.fleet import Fleet as Fleet
    from econtext.controller.fleet.futures import Futures as Futures
    from econtext.controller.fleet.futures import HostFuture as HostFuture
    from econtext.controller.fleet.hosts import Host as Host
    from econtext.controller.fleet.progress import Progress as Progress
    from econtext.controller.fleet.results import FleetError as FleetError
    from econtext.controller.fleet.results import Results as Results
    from econtext.controller.fleet.streams import FleetStream as FleetStream
    from econtext.controller.protocol.classes import register as register
    from econtext.controller.raised import CallError as CallError
    from econtext.controller.secret import Secret as Secret
    from econtext.controller.session.callbacks import program as program
    from econtext.controller.session.channels import Channel as Channel
    from econtext.controller.session.futures import Future as Future
    from econtext.controller.session.selection import select as select
    from econtext.controller.session.streams import Stream as Stream
    from econtext.ways import Way

    bubblewrap: Way
    chroot: Way
    command: Way
    doas: Way
    docker: Way
    fork: Way
    incus: Way
    jail: Way
    kubectl: Way
    lxc: Way
    lxd: Way
    machinectl: Way
    nsenter: Way
    podman: Way
    su: Way
    systemd_nspawn: Way
    unshare: Way

# Connectors that have no module of their own here: `econtext.NAME.connect(via, …)` is `via.NAME(…)`.
WAYS: tuple[str, ...] = tuple((
    'bubblewrap chroot command doas docker fork incus jail kubectl lxc lxd machinectl nsenter podman su '
    'systemd_nspawn unshare'
).split())
# END

__all__ = [*sorted([*HOMES, *WAYS]), 'slave']


def find(name: str) -> Any:
    home = HOMES.get(name)
    if name in WAYS:
        value = globals()[name] = importlib.import_module(__name__ + '.ways').Way(name)
        return value
    if home is None:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    if not home:
        return importlib.import_module(f'{__name__}.{name}')
    value = getattr(importlib.import_module(f'{__name__}.{home}'), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:
    # Type checkers know all names from above, and are to find those that are misspelt.
    __getattr__ = find


def __dir__() -> list[str]:
    return __all__
