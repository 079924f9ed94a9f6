"""What becomes of a start: a context that works, or the error that says why not."""

from __future__ import annotations

import os
import subprocess

import arrival
import pytest

import econtext

DATA = b'\0\xff\r\n\x03\x04' * 50_000


def fails(context: econtext.Context, kind: str) -> econtext.ConnectError:
    """Return the error of a start that fails in this way."""
    with pytest.raises(econtext.ConnectError) as caught:
        context.wait_ready(60)
    assert caught.value.kind == kind, str(caught.value)
    return caught.value


def works(context: econtext.Context, user: int = 0) -> None:
    """Look whether the context is that user's, and passes every byte unharmed."""
    assert context.call(os.geteuid) == user
    assert context.call(arrival.echo, DATA) == DATA


def version(sudo: str) -> str:
    """Return name and version of that program, such as ``sudo 1.9.13p3``."""
    text = subprocess.run([sudo, '-V'], capture_output=True, text=True).stdout
    return text.splitlines()[0].replace('version ', '').lower()
