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

if TYPE_CHECKING:
    from typing import Any

    from econtext import local as local
    from econtext import ssh as ssh
    from econtext import sudo as sudo
    from econtext import utils as utils
    from econtext.controller.broker import Broker as Broker
    from econtext.controller.channels import Channel as Channel
    from econtext.controller.channels import select as select
    from econtext.controller.context import Context as Context
    from econtext.controller.errors import CallError as CallError
    from econtext.controller.errors import CallTimeout as CallTimeout
    from econtext.controller.errors import ConnectError as ConnectError
    from econtext.controller.errors import ContextLost as ContextLost
    from econtext.controller.errors import CorruptStream as CorruptStream
    from econtext.controller.errors import EcontextError as EcontextError
    from econtext.controller.errors import InternalError as InternalError
    from econtext.controller.errors import NotAllowed as NotAllowed
    from econtext.controller.futures import Future as Future

__version__ = '0.1.0'

#: True in a context, False in the program that started it.
slave = False

# Each name and its home, imported when it is first used.
HOMES = {
    'Broker': 'controller.broker',
    'Channel': 'controller.channels',
    'Context': 'controller.context',
    'Future': 'controller.futures',
    'select': 'controller.channels',
    'local': '',
    'ssh': '',
    'sudo': '',
    'utils': '',
    **dict.fromkeys(
        (
            'CallError',
            'CallTimeout',
            'ConnectError',
            'ContextLost',
            'CorruptStream',
            'EcontextError',
            'InternalError',
            'NotAllowed',
        ),
        'controller.errors',
    ),
}

__all__ = [*sorted(HOMES), 'slave']


def __getattr__(name: str) -> Any:
    home = HOMES.get(name)
    if home is None:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    if not home:
        return importlib.import_module(f'{__name__}.{name}')
    value = getattr(importlib.import_module(f'{__name__}.{home}'), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
