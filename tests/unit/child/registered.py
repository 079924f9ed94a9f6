"""What tests of registered classes share: what a hostile context says of them, and what becomes of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from econtext.child.registry import TYPES
from econtext.core.codec import encode
from econtext.core.wire import BadFrame
from econtext.parent.values import Refused, decode
from unit.both_ways import OWNER


def said(*parts: Any) -> bytes:
    """Return what says that it is a value of a registered class: module, name, state."""
    return b'x%x:' % (len(parts) + 1) + b''.join(map(encode, ('type', *parts)))


def assert_refused(module: str, name: str, state: Any) -> None:
    """The state does not fit: an error of the call, which names the class."""
    with pytest.raises(Refused, match=f'^holds a value that {module}.{name} refuses: '):
        decode(said(module, name, state), OWNER)


def assert_registered_or_bad(module: str, name: str, state: Any) -> None:
    """Whatever the state, a value of a registered class comes of it, or none."""
    try:
        found = decode(said(module, name, state), OWNER)
    except BadFrame:
        return
    assert type(found) in TYPES


@pytest.fixture(autouse=True, scope='module')
def forgotten(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a module of tests registers is in the table of the process: the module takes it out again."""
    yield
    for key, entry in list(TYPES.items()):
        if entry[3] == request.module.__name__:
            del TYPES[key]
