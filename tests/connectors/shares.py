"""What tests of attached programs run in contexts."""

import os
import time


def numbers(count):
    number = 0
    while number < count:
        yield number
        number += 1


def double(channel):
    for value in channel:
        channel.send(value * 2)
    channel.close()


def hold(channel, mark):
    """Send our number; until the channel ends, or an interruption comes, stay; then leave a mark."""
    try:
        channel.send(os.getpid())
        for _ in channel:
            pass
    finally:
        os.symlink('ended', mark)


def sleep(seconds):
    """Return our number, after a while."""
    time.sleep(seconds)
    return os.getpid()


def linger(begun, ended):
    """Stay until interrupted; leave a mark at the beginning and at the end."""
    os.symlink('begun', begun)
    try:
        while 1:
            time.sleep(0.05)
    finally:
        os.symlink('ended', ended)


def say(text):
    print(text)


def import_behind(mark, name):
    """Import a module once there is a mark; return its value."""
    while not os.path.lexists(mark):
        time.sleep(0.01)
    return __import__(name).VALUE
