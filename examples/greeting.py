"""A module of the program's own: it lies here and nowhere else, and runs in any Python from 2.4 on."""

import os
import platform
import sys


def describe():
    """Return who and where we are."""
    return {
        'host': platform.node(),
        'python': '%d.%d.%d' % sys.version_info[:3],
        'process': os.getpid(),
        'module': __file__,
        'loaded by': __loader__.__class__.__name__,
    }


def name_in_ps():
    """Return the command line that `ps` shows of this process; None where there is no /proc."""
    try:
        file = open('/proc/self/cmdline', 'rb')
    except IOError:
        return None
    try:
        return file.read().split(b'\0')[0]
    finally:
        file.close()
