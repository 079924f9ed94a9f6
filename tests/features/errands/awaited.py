"""What tests of asyncio have contexts do; any Python of a context can read it."""

import os
import threading
import time


def note(path, text):
    file = open(path, 'a')
    file.write(text + '\n')
    file.close()


def wait(path):
    """Say that it has begun, and how it ends."""
    note(path, 'begun')
    try:
        time.sleep(60)
    except BaseException:
        note(path, 'interrupted')
        raise


def stubborn(path):
    note(path, 'begun')
    while 1:
        try:
            time.sleep(60)
        except BaseException:
            pass


def values(path):
    """Yield numbers, and say how it ends."""
    number = 0
    try:
        while 1:
            yield number
            number += 1
            time.sleep(0.01)
    finally:
        note(path, 'ended')


def two():
    yield 1
    yield 2


def fail():
    raise ValueError('no such thing')


def fail_behind():
    yield 1
    raise ValueError('no such thing')


def stop():
    raise StopIteration('at once')


def leave():
    os._exit(3)


def leave_with(channel):
    """End the process of the context, which has a channel."""
    os._exit(3)


def wait_to_yield(path):
    """A stream that says how it ends, and yields nothing."""
    wait(path)
    yield 1


def say(text):
    print(text)


def say_it_twice(text):
    return text + text


def echo(channel):
    for value in channel:
        channel.send(value)


def nap(seconds):
    time.sleep(seconds)
    return threading.current_thread().name


def hold(channel, path):
    """Read nothing from a channel."""
    wait(path)


def open_files():
    from econtext.child import files
    return len(files.OPEN)
