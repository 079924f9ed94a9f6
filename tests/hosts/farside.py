"""What contexts on awkward hosts are asked to do. Python 2.4 and newer."""

import logging
import os
import sys
import time


def echo(value):
    return value


def origins(names):
    """Import modules; return from where each came."""
    found = []
    for name in names:
        module = __import__(name)
        found.append(getattr(module, '__file__', None) or 'built in')
    return found


def speak():
    sys.stdout.write('printed\n')
    logging.getLogger('there').warning('logged')
    return time.time()


def version():
    return tuple(sys.version_info)[:2]


def wait(seconds):
    time.sleep(seconds)
    return os.getpid()
