"""
What econtext needs of pyinfra and of gevent, which are no dependencies of econtext.

Raises ImportError with the remedy where a package is missing.  Any thread may enter.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    class BaseConnector:
        """What all connectors have."""

        state: Any
        host: Any
        data: Any

        def __init__(self, state: Any, host: Any) -> None: ...

    class ConnectError(Exception):
        """A host could not be connected."""

    class InventoryError(Exception):
        """The name of a host is none."""

    CommandOutput: Any
    DataMeta: Any
    OutputLine: Any
    QuoteString: Any
    StringCommand: Any
    commands: Any
    files: Any
    gevent: Any
    output: Any
    pyinfra: Any
    queues: Any
    sockets: Any
    subprocess: Any
else:
    try:
        pyinfra = importlib.import_module('pyinfra')
        gevent = importlib.import_module('gevent')
        sockets = importlib.import_module('gevent.socket')
        subprocess = importlib.import_module('gevent.subprocess')
        queues = importlib.import_module('gevent.queue')
        base = importlib.import_module('pyinfra.connectors.base')
        commands = importlib.import_module('pyinfra.connectors.util')
        output = importlib.import_module('pyinfra.api.output')
    except ImportError as error:
        raise ImportError(
            f"econtext.pyinfra needs the package pyinfra, from 3.10: run pip install 'econtext[pyinfra]' ({error})"
        ) from None
    files = importlib.import_module('pyinfra.api.util')
    BaseConnector, DataMeta = base.BaseConnector, base.DataMeta
    CommandOutput, OutputLine = commands.CommandOutput, commands.OutputLine
    exceptions = importlib.import_module('pyinfra.api.exceptions')
    ConnectError, InventoryError = exceptions.ConnectError, exceptions.InventoryError
    StringCommand = importlib.import_module('pyinfra.api.command').StringCommand
    QuoteString = importlib.import_module('pyinfra.api.command').QuoteString
