"""Runs in one context, calls in another below it."""
import os


def pids(below, value):
    return os.getpid(), below.call(answer, value)


def answer(value):
    return os.getpid(), value


def fail_below(below):
    below.call(fail)


def fail():
    raise KeyError('of the lower one')


def lambda_below(below):
    below.call(lambda: 1)


def parents():
    """Return what is loaded here of that which makes a context a parent."""
    import sys
    return [name for name in sys.modules if name[:16] == 'econtext.parent.']
