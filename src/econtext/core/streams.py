"""
Send what a function yields, one value after the other.

Invariants:

* Values are sent as the channel has credit: a reader that does not read stops the
  function where it yields.
* However it ends, what was iterated over is closed, so that its cleanup runs.

Sent with the first stream.  Entered by whoever carries out calls.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.core.face import Channel

import sys

from econtext.core.calls import find
from econtext.core.codec import native


def pour(channel, module, name, args, kwargs):
    # type: (Channel, str, str, Any, dict[Any, Any]) -> None
    """Iterate over what function `name` of `module` returns."""
    kwargs = dict([(native(key), kwargs[key]) for key in kwargs])
    values = find(native(module), native(name))(*args, **kwargs)
    for awaited in '__aiter__', '__await__':
        if hasattr(values, awaited):
            raise TypeError(
                '%s returned what is to be awaited: have a plain function run it, by asyncio.run(), and '
                'return or yield the values' % name)
    if not hasattr(values, '__iter__') and not hasattr(values, '__getitem__'):
        raise TypeError('%s returned no values to iterate over, but a %s: use call() for it' % (
            name, type(values).__name__))
    values = iter(values)
    try:
        for value in values:
            if not channel.open():
                break
            try:
                channel.send(value)
            except sys.modules['econtext'].EcontextError:
                # Nobody reads any more.
                if channel.open():
                    raise
                break
    finally:
        if hasattr(values, 'close'):
            values.close()
