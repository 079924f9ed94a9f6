"""Contexts on this machine."""

from __future__ import annotations

from typing import Any

from econtext.controller.connect import Origin
from econtext.controller.context import Context

__all__ = ['connect']


def connect(via: Origin, **options: Any) -> Context:
    """
    Start a context from `via`, a broker or a context: the same as ``via.local(…)``.

    The options are those of ``Broker.local``.

    Example::

        context = econtext.local.connect(broker)
    """
    return via.local(**options)
