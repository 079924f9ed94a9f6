"""A module of the program's own, for any Python from 2.4 on: no context has it installed."""

import os
import platform
import sys


def describe():
    """Return who and where we are."""
    return {
        'host': platform.node(),
        'python': '%d.%d.%d' % sys.version_info[:3],
        'module': __file__,
        'loaded by': __loader__.__class__.__name__,
    }


def work():
    """Print a line, start a program that prints another, log a third."""
    import logging

    print('printed by a function')
    os.system('echo printed by a program')
    logging.getLogger('greeting').warning('logged by a function')


def name_in_ps():
    """Return what `ps` shows of this process; None where there is no /proc."""
    try:
        file = open('/proc/self/cmdline')
    except IOError:
        return None
    try:
        return file.read().split('\0')[0]
    finally:
        file.close()
