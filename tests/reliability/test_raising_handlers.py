"""The program's own handlers of signals raise in the middle of our code: closing ends all the same."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time

import pytest

import econtext
from econtext.controller.runtime.signals import PENDING
from lab import SOON, eventually, leaks

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
    getattr(broker._tree.router.links[child._node.id], name).acquire()
    began = time.monotonic()
    child.close() if what == 'context' else broker.close()
    assert time.monotonic() - began < SOON
    assert not leaks.alive(pid)


@pytest.mark.deadline(1200)  # it starts forty interpreters
def test_sigterm_at_any_moment_ends_a_program_that_leaves_then() -> None:
    for _ in range(20):
        with subprocess.Popen([sys.executable, '-c', PROGRAM], stdout=subprocess.PIPE) as program:
            assert program.stdout
            child = int(program.stdout.readline())
            time.sleep(random.uniform(0, 0.01))  # any moment will do
            program.send_signal(signal.SIGTERM)
            assert program.wait(60) == 3
        assert not leaks.alive(child)


class Late(Exception):
    pass


class TimeLimit:
    """Raises Late at the first alarm since it was `set`, and at no other: that one may be a moment late."""

    def __init__(self) -> None:
        self.set = False

    def __call__(self, *_event: object) -> None:
        if self.set:
            self.set = False
            raise Late


def raise_late(*_event: object) -> None:
    raise Late


def test_a_time_limit_at_any_moment_of_a_call_leaves_the_context_as_it_was(broker: econtext.Broker) -> None:
    """Thousands of alarms in calls that print: each comes out of the call, and the next call works."""
    child = broker.local()
    child.call(abs, -1)
    limit = TimeLimit()
    before = signal.signal(signal.SIGALRM, limit)
    fired = number = 0
    try:
        while number < 3000:
            # One alarm may be a moment late, for another thread had it from the kernel, and then two may come: the
            # second must not come out of what stands behind the `except`.
            try:
                limit.set = True
                while number < 3000:
                    number += 1
                    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 2e-4))
                    child.call(print, 'x') if number % 2 else child.call(abs, -1)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                limit.set = False
            except Late:
                fired += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert child.options(timeout=60).call(abs, -number) == number
    finally:
        limit.set = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        # One that was put off is not for the handler of before.
        eventually(lambda: signal.SIGALRM not in PENDING, what='no alarm is on its way')
        signal.signal(signal.SIGALRM, before)
    assert fired > 300
    assert child.call(abs, -1) == 1


def test_what_a_handler_raises_comes_out_of_a_handler_of_records(
    broker: econtext.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # Not before: else it may come before the call.
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            time.sleep(20)

    child = broker.local()
    child.call(abs, -1)
    logger = logging.getLogger(f'econtext.ctx.{child.name}')
    handler = Slow()
    caplog.set_level(logging.INFO)
    before = signal.signal(signal.SIGALRM, raise_late)
    try:
        logger.addHandler(handler)
        with pytest.raises(Late):
            child.call(print, 'x')
    finally:
        logger.removeHandler(handler)
        signal.signal(signal.SIGALRM, before)
    assert child.call(abs, -1) == 1
