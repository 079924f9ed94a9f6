"""A value on its way up to the program, and down to a context, without a link in between."""

from __future__ import annotations

import marshal
from typing import Any

import pytest

from econtext.child import rich
from econtext.controller.protocol.values import encode as encode_down
from econtext.core.codec import encode
from econtext.parent.values import decode

OWNER = object()    # whoever decodes for somebody


def up(value: Any) -> Any:
    return decode(encode(value), OWNER)


def down(value: Any) -> Any:
    """What a child makes of it."""
    value = marshal.loads(encode_down(value, 'f'))
    if type(value) is tuple and value[:1] == (...,):
        value = rich.restore(None, value[1])
    return value


WAYS = pytest.mark.parametrize('way', [up, down])
