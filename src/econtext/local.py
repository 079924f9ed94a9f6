"""Contexts on this machine."""

from __future__ import annotations

from typing import Any

from econtext.controller.broker import Broker
from econtext.controller.context import Context

__all__ = ['connect']


def connect(via: Broker | Context, **options: Any) -> Context:
    """
    Start a context from `via`, a broker or a context: the same as ``via.local(…)``.

    The `options` and errors are those of ``Broker.local``: it raises nothing for a
    failure to start, which the first use of the context does.

    Example::

        context = econtext.local.connect(broker)
    """
    return via.local(**options)
