"""Prints and logs in turns; Python 2.4 to 3.15."""
import logging
import sys


def in_turns(count):
    for number in range(count):
        sys.stdout.write('printed %d\n' % number)
        logging.getLogger('turns').warning('logged %d', number)
