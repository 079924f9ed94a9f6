"""
``econtext.NAME.connect(via, …)`` for the connectors that have no module of that name.

It is the same as ``via.NAME(…)``.  The names, those of the files in ``connectors``, stand in ``econtext._WAYS``.
"""

from __future__ import annotations

from typing import Any

from econtext.controller.broker import Broker
from econtext.controller.context import Context

__all__ = ['Way']


class Way:
    """One connector by its name, in the place of a module."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f'<econtext.{self.name}>'

    def connect(self, via: Broker | Context, *args: Any, **options: Any) -> Context:
        """
        Start a context from `via`, a broker or a context: as its method of this name.

        `args`, `options` and the errors are those of the method: it raises nothing
        for a failure to start, which the first use of the context does.

        Example::

            context = econtext.su.connect(broker, 'postgres')
        """
        context: Context = getattr(via, self.name)(*args, **options)
        return context
