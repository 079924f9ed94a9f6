"""Ctrl-C in code of the program, or of the standard library, that econtext calls and that takes its time."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGINNING = """\
import logging
import os
import signal
import sys
import threading
import time

import econtext
import econtext.utils


RELEASED = threading.Event()
# It is ignored in what a shell starts in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)


def slow(*args):
    RELEASED.wait(600)
    return ''


def interrupt(*path):
    'Send the signal once the main thread stands in functions of these names, the last one innermost.'
    interrupt_at(path)


def interrupt_at(*paths):
    'Send the signal once the main thread stands in functions of one of these lists of names.'
    def watch():
        while True:
            frame, names = sys._current_frames()[threading.main_thread().ident], []
            while frame:
                names.insert(0, frame.f_code.co_name)
                frame = frame.f_back
            if any(stands(names, path) for path in paths):
                break
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=watch, daemon=True).start()


def stands(names, path):
    rest = iter(names)
    return all(name in rest for name in path)


class Handler(logging.Handler):
    'Holds up the thread that handles first.'
    entered = threading.Event()

    def emit(self, record):
        if not self.entered.is_set():
            self.entered.set()
            slow()


def trial():
"""
ENDING = """
began = time.monotonic()
try:
    trial()
except KeyboardInterrupt:
    assert 'econtext' not in [thread.name for thread in threading.enumerate()]
    print('interrupted', time.monotonic() - began)
"""
PLACES = {
    'main function of run_with_broker': """
    interrupt('run_with_broker', 'slow')
    econtext.utils.run_with_broker(slow)
""",
    'block of a context that waits for its calls': """
    with econtext.Broker() as broker, broker.local() as context:
        context.submit(time.sleep, 600)
        interrupt('shutdown', 'wait')
""",
    'function of the program called as from a context': """
    with econtext.Broker() as broker:
        interrupt('slow')
        econtext.program.call(slow)
""",
    'function that answers questions': """
    from econtext.controller.connect.options import answering
    with econtext.Broker() as broker:
        interrupt('slow')
        answering({'word': slow})('Password: ')
""",
    'question of the command line': """
    from econtext.command_line import connecting
    connecting.Asker.typed = slow
    with econtext.Broker() as broker:
        interrupt('slow')
        connecting.Asker().ask_once('Password: ')
""",
    'step of the doctor': """
    from econtext.controller.doctor import network
    with econtext.Broker() as broker:
        interrupt('run', 'communicate')
        network.ask(['sleep', '600'], 600)
""",
    'handler of what econtext itself logs': """
    with econtext.Broker() as broker:
        context = broker.local()
        logging.getLogger('econtext').addHandler(Handler())
        logging.getLogger('econtext').setLevel(logging.DEBUG)
        interrupt('request', 'slow')
        context.call(os.getpid)
""",
    'wait for the handlers of another thread': """
    with econtext.Broker() as broker:
        one, other = broker.local().wait_ready(), broker.local().wait_ready()
        logging.getLogger('econtext').addHandler(Handler())
        logging.getLogger('econtext').setLevel(logging.INFO)
        threading.Thread(target=lambda: one.call(os.system, 'echo one'), daemon=True).start()
        assert Handler.entered.wait(60)
        # It handles what is printed itself, or waits for a thread that does.
        interrupt_at(('emit', 'callHandlers'), ('settle', 'take'))
        try:
            other.call(os.system, 'echo other')
        finally:
            # close() waits for handlers, too.
            RELEASED.set()
""",
}


@pytest.mark.parametrize('place', PLACES)
def test_an_interrupt_comes_at_once(place: str) -> None:
    text = BEGINNING + PLACES[place] + ENDING
    done = subprocess.run([sys.executable, '-c', text], capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith('interrupted'), done.stdout + done.stderr
    assert float(done.stdout.split()[1]) < 15
