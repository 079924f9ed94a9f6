"""What a function sees of where it runs."""
import os
import sys


def variable(name):
    return os.environ.get(name)


def variables():
    return dict(os.environ)


def prefix():
    return sys.prefix
