"""Record in which order locks are taken, on both ends: what `test_locks.py` holds the docs against.

`locks.py FOLDER` does a little of everything with contexts, and writes each pair of locks that a thread held together
into FOLDER.  `locks.py -Ec CODE` is the interpreter of the contexts.  The name of a lock is the module and the line
that made the lock, and the class of the object that has the lock.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

FOLDER = 'ECONTEXT_LOCKS'
WORK = """
import logging

def noise(lines):
    for number in range(lines):
        print('line %d' % number)
        if number % 10 == 0:
            logging.getLogger('noise').warning('record %d', number)

def count(limit):
    for number in range(limit):
        yield 'x' * 2000

def echo(channel):
    for value in channel:
        channel.send(value)

def same(value):
    return value

def back(number):
    return number + 1

def callback():
    import econtext
    return econtext.program.call(back, 4)
"""
REAL = _thread.allocate_lock, _thread.RLock
HELD: dict[int, list[str]] = {}
KNOWN: set[tuple[str, str]] = set()


class Recorded:
    """A lock that writes down which others its thread holds as it is taken."""

    out = -1

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.name = made_by(sys._getframe(1))

    def acquire(self, *args: Any, **options: Any) -> Any:
        held = HELD.setdefault(_thread.get_ident(), [])
        taken = self.inner.acquire(*args, **options)
        if taken and self.name:
            # Who only tries waits for nobody, and so cannot hang.
            if args[:1] not in ((0,), (False,)) and options.get('blocking', True) and self.name not in held:
                note(held, self.name)
            held.append(self.name)
        return taken

    def release(self) -> None:
        mine = HELD.get(_thread.get_ident(), [])
        for held in [mine, *list(HELD.values())]:
            if self.name in held:
                held.reverse()
                held.remove(self.name)
                held.reverse()
                break
        self.inner.release()

    def __enter__(self) -> bool:
        self.acquire()
        return True

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def note(held: list[str], name: str) -> None:
    for other in held:
        if (other, name) not in KNOWN:
            KNOWN.add((other, name))
            os.write(Recorded.out, f'{other} {name}\n'.encode())


def made_by(frame: FrameType | None) -> str:
    """Return what a lock is called that econtext made here, nothing for others."""
    while frame is not None:
        module = frame.f_globals.get('__name__') or ''
        if module.startswith('econtext'):
            return f'{module}:{frame.f_lineno}:{type(frame.f_locals.get("self")).__name__}'
        if module not in ('threading', __name__):
            return ''
        frame = frame.f_back
    return ''


def record(folder: str) -> None:
    Recorded.out = os.open(os.path.join(folder, 'pairs'), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    _thread.allocate_lock = threading.Lock = lambda: Recorded(REAL[0]())  # type: ignore[assignment, misc]
    threading.RLock = lambda: Recorded(REAL[1]())  # type: ignore[assignment, misc]


def do_everything(folder: str) -> None:
    import logging

    os.environ[FOLDER] = folder
    Path(folder, 'work.py').write_text(WORK)
    sys.path.insert(0, folder)
    import work  # type: ignore[import-not-found]

    record(folder)
    import econtext

    logging.basicConfig(level=logging.DEBUG, filename=os.path.join(folder, 'log'))
    python = [sys.executable, __file__]
    with econtext.Broker() as broker:
        one = broker.local(python=python)
        contexts = [one, broker.local(python=python, threads=3), one.local(python=python), one.fork()]
        broker.allow(work.back)
        for context in contexts:
            context.call(work.noise, 1000)
            for future in [context.submit(work.noise, 100) for _ in range(4)]:
                future.result()
            assert len(list(context.stream(work.count, 1000))) == 1000
            channel = context.channel()
            context.submit(work.echo, channel)
            values = iter(channel)
            for number in range(50):
                channel.send(number)
                assert next(values) == number
            channel.close()
            context.call(work.same, b'x' * 3000000)
            context.run(['cat'], input=b'x' * 100000)
            context.put(Path(folder, 'work.py'), os.path.join(folder, 'copied'))
            with context.open(os.path.join(folder, 'copied')) as file:
                file.read(10)
            assert context.call(work.callback) == 5
        futures = [contexts[1].submit(work.noise, 20) for _ in range(9)]
        called = threading.Semaphore(0)

        def callback(_: object) -> None:
            contexts[2].call(len, '')
            called.release()

        for future in futures:
            future.add_done_callback(callback)
        # A callback runs below the lock of lines, and what it waits for begins at the top again.
        for _ in futures:
            assert called.acquire(timeout=60)
        with econtext.attach(broker.listen()) as attached:
            for other in attached.contexts:
                other.call(len, '')
        made = broker.fleet(['a', 'b'], connector=lambda broker, host: broker.local(python=python))
        assert len(made.call(len, '').successes) == 2


if __name__ == '__main__':
    if sys.argv[1] == '-Ec':
        record(os.environ[FOLDER])
        code, sys.argv[:] = sys.argv[2], ['-c']
        exec(code, {'__name__': '__main__'})
    else:
        do_everything(sys.argv[1])
