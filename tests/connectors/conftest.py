"""What tests of attached programs share: a broker that listens, and programs that attach to it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from attaching import Program

import econtext


@pytest.fixture
def path(broker: econtext.Broker, tmp_path: pathlib.Path) -> str:
    """Return the socket at which the broker of the test listens."""
    return broker.listen(tmp_path / 'sock')


@pytest.fixture
def start(path: str, tmp_path: pathlib.Path) -> Iterator[Any]:
    """Yield a function that starts a program with this code and these modules; end at last what still runs."""
    started: list[Program] = []

    def one(code: str, **files: str) -> Program:
        started.append(Program(tmp_path / f'program{len(started)}', path, code, **files))
        return started[-1]

    yield one
    for each in started:
        if each.process.returncode is None:
            each.kill()
