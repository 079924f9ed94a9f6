"""The program's own handlers of signals raise in the middle of our code: closing ends all the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

import econtext
from lab import leaks

# What is usual: SIGTERM leaves the program, wherever it is.
PROGRAM = """
import os, signal, sys
import econtext
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
with econtext.Broker() as broker:
    child = broker.local()
    print(child.call(os.getpid), flush=True)
    while True:
        child.call(abs, -1)
"""


@pytest.mark.parametrize('name', ['lock', 'writing'])
@pytest.mark.parametrize('what', ['broker', 'context'])
def test_a_lock_that_a_handler_left_closed_holds_up_no_closing(
    broker: econtext.Broker, name: str, what: str
) -> None:
    child = broker.local()
    pid = child.call(os.getpid)
    getattr(broker.router.links[child.id], name).acquire()
    began = time.monotonic()
    child.close() if what == 'context' else broker.close()
    assert time.monotonic() - began < 10
    assert not leaks.alive(pid)


def test_sigterm_at_any_moment_ends_a_program_that_leaves_then() -> None:
    for _ in range(20):
        with subprocess.Popen([sys.executable, '-c', PROGRAM], stdout=subprocess.PIPE) as program:
            assert program.stdout
            child = int(program.stdout.readline())
            time.sleep(random.uniform(0, 0.01))  # any moment will do
            program.send_signal(signal.SIGTERM)
            assert program.wait(30) == 3
        assert not leaks.alive(child)
