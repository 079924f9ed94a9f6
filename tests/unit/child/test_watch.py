"""The watch of a context: what whoever leads waits by."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from econtext.child.watch import Watch
from econtext.core.loop import Loop


def test_the_application_may_put_another_file_in_the_place_of_standard_input() -> None:
    """At once, before the leader has heard of the end of the one that was there: the poller knows the new one not."""
    loop = Loop()
    home: Any = SimpleNamespace(
        loop=loop, supervisor=SimpleNamespace(running={}), settings={'gil_limit': 0.0, 'heartbeat': 0, 'threads': 1})
    watch = Watch(home)
    reading, writing = os.pipe()
    other = os.open(os.devnull, os.O_RDONLY)
    try:
        loop.watch(reading, watch)
        os.dup2(other, reading)
        watch.ready(reading)
        assert loop.watched == {}
    finally:
        for fd in (reading, writing, other):
            os.close(fd)
        if hasattr(loop.poller, 'close'):
            loop.poller.close()
