"""Record which functions of econtext run, in which order, on both ends: what `test_trips.py` holds the docs against.

`trips.py FOLDER` makes three trips, and writes what ran into FOLDER.  `trips.py -Ec CODE` is the interpreter of the
context: it runs CODE as `python -Ec CODE` does, and records too.

A line of a record is: nanoseconds on the clock that all processes of a machine share, the end, the module, and the
first line of the function's code.  The packer keeps line numbers, so the line finds the function in the source.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

FOLDER = 'ECONTEXT_TRIPS'
TRIPS = 'connect', 'call', 'line'
ERRAND = """
def double(number):
    return 2 * number

def greet():
    print('hello')
"""


def recorder(folder: str, end: str) -> tuple[Callable[[str], None], Callable[[FrameType, str, Any], None]]:
    """Return what writes a mark into the record of `end`, and the profiler that writes it."""
    # Written at once: a context ends without a word.
    out = os.open(os.path.join(folder, end), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(text: str) -> None:
        os.write(out, f'{time.monotonic_ns()} {end} {text}\n'.encode())

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == 'call':
            module = frame.f_globals.get('__name__') or ''
            if module.startswith('econtext.'):
                write(f'{module} {frame.f_code.co_firstlineno}')

    return write, profile


def watch(profile: Callable[[FrameType, str, Any], None]) -> None:
    """Have `profile` see this thread, and those that begin from now on."""
    start: Any = _thread.start_new_thread

    def start_profiled(function: Any, arguments: Any, *rest: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> None:
            sys.setprofile(profile)
            function(*args, **kwargs)

        return start(run, arguments, *rest)

    # For what imports it by its name; threads of ``threading`` have a hook of their own.
    _thread.start_new_thread = start_profiled  # type: ignore[assignment]
    threading.setprofile(profile)
    sys.setprofile(profile)


def be_the_context(code: str) -> None:
    _, profile = recorder(os.environ[FOLDER], 'context')
    watch(profile)
    sys.argv[:] = ['-c']
    exec(code, {'__name__': '__main__'})


def make_the_trips(folder: str) -> None:
    import logging

    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(message)s')
    os.environ[FOLDER] = folder
    Path(folder, 'errand.py').write_text(ERRAND)
    sys.path.insert(0, folder)
    import errand  # type: ignore[import-not-found]

    import econtext

    mark, profile = recorder(folder, 'controller')
    # Before there is a broker: its spare thread is to be seen too.
    watch(profile)
    with econtext.Broker() as broker:
        mark('begin connect')
        context = broker.local(python=[sys.executable, __file__])
        context.wait_ready()
        mark('end connect')
        # What comes behind HELLO is compiled there.
        context.call(len, '')
        mark('begin call')
        print(context.call(errand.double, 21))
        mark('end call')
        mark('begin line')
        context.call(errand.greet)
        mark('end line')
        sys.setprofile(None)


if __name__ == '__main__':
    if sys.argv[1] == '-Ec':
        be_the_context(sys.argv[2])
    else:
        make_the_trips(sys.argv[1])
