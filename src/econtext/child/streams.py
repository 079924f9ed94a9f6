"""
Send what a function yields, one value after the other.

Invariants:

* Values are sent as the channel has credit: a reader that does not read stops the
  function where it yields.
* However it ends, what was iterated over is closed, so that its cleanup runs.
* Who leaves a stream closes its channel and interrupts its function.  Where the function sees the channel
  closed first, its cleanup runs within ``clean_up``, and no interruption is raised in it.

Sent with the first stream.  Entered by whoever carries out calls.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.face import Channel

import sys

from econtext.child import ending
from econtext.core.calls import find
from econtext.core.codec import native


def pour(channel, module, name, args, kwargs):
    # type: (Channel, str, str, Any, dict[str, Any]) -> None
    """Iterate over what function `name` of `module` returns."""
    # Nothing is raised in this function itself, see ``ending.WAITING``: what has begun is cleaned up.
    values = begin(native(module), native(name), args, dict([(native(key), kwargs[key]) for key in kwargs]))
    try:
        hand_out(channel, values)
    finally:
        clean_up(values)


def begin(module, name, args, kwargs):
    # type: (str, str, Any, dict[str, Any]) -> Any
    """Call function `name` of `module`; return an iterator over its values."""
    values = find(module, name)(*args, **kwargs)
    for awaited in '__aiter__', '__await__':
        if hasattr(values, awaited):
            raise TypeError(
                '%s returned an awaitable: stream a plain function that runs it with asyncio.run() and '
                'returns or yields the values' % name)
    if not hasattr(values, '__iter__') and not hasattr(values, '__getitem__'):
        raise TypeError('%s returned no values to iterate over, but a %s: use call() for it' % (
            name, type(values).__name__))
    return iter(values)


def hand_out(channel, values):
    # type: (Channel, Any) -> None
    """Send `values` while somebody reads them."""
    for value in values:
        if not channel.open():
            break
        try:
            channel.send(value)
        except sys.modules['econtext'].EcontextError:
            if channel.open():
                raise
            break


def clean_up(values):
    # type: (Any) -> None
    """Close what was iterated over; ``ending.may_leave`` knows this function by its name."""
    if hasattr(values, 'close'):
        ending.TELLING.acquire()
        ending.TELLING.release()
        values.close()
