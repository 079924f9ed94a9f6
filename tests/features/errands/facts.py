"""What a context says of itself."""
import os
import sys


def loaded(*names):
    return [name for name in names if name in sys.modules]


def standard_input():
    return sys.stdin.read()


def ask():
    try:
        question = raw_input
    except NameError:
        question = input
    return question('your name? ')


def group():
    return os.getpgrp()


def first_record(text):
    """Import `logging`, which several threads do at a time, and log."""
    import logging
    logging.getLogger('errands').warning('first: %s', text)
