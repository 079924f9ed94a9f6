"""
Send what a function yields, one value after the other.

Invariants:

* Values are sent as the channel has credit: a reader that does not read stops the
  function where it yields.
* However it ends, what was iterated over is closed, so that its cleanup runs.

Sent with the first stream.  Entered by whoever carries out calls.
"""
import sys

from econtext.core.calls import find
from econtext.core.codec import native


def pour(channel, module, name, args, kwargs):
    # type: (Any, str, str, Any, dict[Any, Any]) -> None
    """Iterate over what function `name` of `module` returns."""
    kwargs = dict([(native(key), kwargs[key]) for key in kwargs])
    values = iter(find(native(module), native(name))(*args, **kwargs))
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
