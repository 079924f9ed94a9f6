"""Contexts as another user, by sudo."""

from __future__ import annotations

from typing import Any

from econtext.controller.broker import Broker
from econtext.controller.context import Context

__all__ = ['connect']


def connect(via: Broker | Context, username: str = 'root', **options: Any) -> Context:
    """
    Start a context from `via`, a broker or a context: the same as ``via.sudo(…)``.

    `username`, the `options` and the errors are those of ``Broker.sudo``: it raises
    nothing for a failure to connect, which the first use of the context does.

    Example::

        context = econtext.sudo.connect(broker)
    """
    return via.sudo(username, **options)
