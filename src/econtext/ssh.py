"""Contexts on other machines, by the OpenSSH client."""

from __future__ import annotations

from typing import Any

from econtext.controller.broker import Broker
from econtext.controller.context import Context

__all__ = ['connect']


def connect(via: Broker | Context, hostname: str, **options: Any) -> Context:
    """
    Start a context from `via`, a broker or a context: the same as ``via.ssh(…)``.

    `hostname`, the `options` and the errors are those of ``Broker.ssh``: it raises
    nothing for a failure to connect, which the first use of the context does.

    Example::

        context = econtext.ssh.connect(broker, 'web1')
    """
    return via.ssh(hostname, **options)
