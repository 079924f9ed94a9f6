"""
Contexts for asyncio: the names of econtext, awaited.

``async with econtext.aio.Broker() as broker`` owns contexts; ``await web.call(f)`` calls, ``async for`` reads streams
and channels, and cancelling a task interrupts the function in the context.
"""

from __future__ import annotations

from econtext.controller.aio.attach import Attachment, attach
from econtext.controller.aio.broker import Broker
from econtext.controller.aio.calls import Options
from econtext.controller.aio.channels import Channel
from econtext.controller.aio.commands import RunLines
from econtext.controller.aio.context import Context
from econtext.controller.aio.fleet import Fleet, HostResult, HostStream
from econtext.controller.aio.futures import Future
from econtext.controller.aio.opened import File
from econtext.controller.aio.paths import RemotePath
from econtext.controller.aio.selection import Selection, select
from econtext.controller.aio.streams import Stream

__all__ = [
    'Attachment', 'Broker', 'Channel', 'Context', 'File', 'Fleet', 'Future', 'HostResult', 'HostStream', 'Options',
    'RemotePath', 'RunLines', 'Selection', 'Stream', 'attach', 'select',
]
