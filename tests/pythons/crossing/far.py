"""The far end of every check."""
import datetime
import decimal
import logging
import os
import subprocess
import sys

try:
    import uuid
except ImportError:
    uuid = None     # before Python 2.5

from crossing import near_far


def echo(*args, **kwargs):
    return args, kwargs


def kinds(values):
    """Return what the values are to this Python; a text of Python 2 is called as in 3."""
    names = {'unicode': 'str', 'str': 'bytes', 'long': 'int'}
    if sys.version_info[0] > 2:
        names = {}
    found = [type(value).__name__ for value in values]
    return [names.get(name, name) for name in found]


def text(literal):
    """Return what Python 3 calls a text, from its escapes."""
    return literal.encode('ascii').decode('unicode_escape')


def data():
    """Return two bytes, in a bytearray where there is such a thing."""
    try:
        return bytearray([0, 255])
    except NameError:
        return '\0\xff'


def identifiers():
    if uuid is None:
        return []
    return [uuid.UUID(int=8)]


def made():
    """Return a value of each type that every Python has."""
    return [
        None, True, -2 ** 70, 1.5, complex(1, -2), text('a\\xe4\\u20ac'), data(), (1,), [2], {text('k'): 3},
        set([4]), frozenset([5]), datetime.datetime(2024, 2, 29, 1, 2, 3, 4), datetime.date(1, 1, 1),
        datetime.time(5, 6), datetime.timedelta(-1, 7), decimal.Decimal('1.10')] + identifiers()


class Odd(ValueError):
    pass


def fail(text):
    raise Odd(text)  # the line that fails


def missing(path):
    return open(path)


def not_allowed():
    """Call what the program did not allow; return the name of the error that says so."""
    import econtext
    try:
        econtext.program.call('os.getpid')
    except econtext.EcontextError:
        return sys.exc_info()[1].__class__.__name__


def import_one(name):
    __import__(name)


def leave():
    sys.exit(3)


def path_facts(path):
    """Write a file of that name, and tell what the folder then holds."""
    native = path
    if sys.version_info[0] == 2:
        native = path.encode('utf-8')
    file = open(native, 'w')
    file.close()
    found = os.listdir(os.path.dirname(native))
    if sys.version_info[0] == 2:
        found = [name.decode('utf-8') for name in found]
    return found


def travelled():
    """Return what came along: this package, from memory alone."""
    loader = type(near_far.__loader__).__module__
    return near_far.VALUE, near_far.deeper(), loader, os.path.exists(near_far.__file__ + '.nowhere')


def speak(text):
    """Say `text` in every way."""
    data = text.encode('utf-8') + '\n'.encode()
    os.write(1, data)
    os.write(2, data)
    sys.stdout.write('plain\n')
    sys.stdout.flush()
    subprocess.call(['echo', 'from a program'])


def log(said):
    logger = logging.getLogger('crossing')
    logger.info(text('%s'), said)
    try:
        {}['key']
    except KeyError:
        logger.exception('failed')


def talk(channel):
    """Give every value back, then one more."""
    for value in channel:
        channel.send(value)
        if value is None:
            break
    channel.send('end')
