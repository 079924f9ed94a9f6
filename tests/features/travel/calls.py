"""Functions that return, raise and misbehave in every way."""

import errno
import functools
import os
import sys


def same(*args, **kwargs):
    return args, kwargs


def echo(value):
    return value


def nothing():
    pass


def named(function=None, self=None, timeout=None, args=None, context=None):
    return function, self, timeout, args, context


def types_of_names(**names):
    """Whether the names of arguments are what this Python calls str."""
    return [type(name) is str for name in names]


def twice(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) * 2
    return wrapper


@twice
def decorated(value):
    return value + 1


class Base(object):
    @classmethod
    def inherited(cls):
        return cls.__name__


class Tool(Base):
    unit = 'mm'

    def __init__(self, size=1):
        self.size = size

    def method(self, other):
        return [self, other]

    @staticmethod
    def static(value):
        return 'static', value

    @classmethod
    def make(cls, value):
        return cls.__name__, cls.unit, value

    class Part(object):
        @staticmethod
        def deep(value):
            return 'deep', value


# -- raising -----------------------------------------------------------------


class Odd(Exception):
    pass


class OddKey(KeyError):
    pass


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError('no words')

    __repr__ = __str__


try:
    Anything = BaseException
except NameError:
    Anything = Exception    # before Python 2.5


class Bare(Anything):
    pass


def fail(name, *args):
    """Raise the exception of that name, ours or a built-in one."""
    kind = globals().get(name)
    if kind is None:
        kind = getattr(sys.modules[len.__module__], name)
    raise kind(*args)


def fail_deeply(message):
    def inner():
        raise ValueError(message)  # the line that a traceback must show
    return inner()


def fail_in_handler():
    try:
        {}['first']
    except KeyError:
        raise ValueError('second')


def open_missing(path):
    return open(path)


def decode_rubbish():
    return '\xff'.encode('latin-1').decode('ascii')


def unencodable_message():
    raise Odd(object())


def long_message(size):
    raise ValueError('x' * size)


def recurse():
    return recurse()


def leave(*status):
    sys.exit(*status)


def interrupt():
    raise KeyboardInterrupt


def close_generator():
    raise sys.modules[len.__module__].GeneratorExit


def stop():
    raise StopIteration


def refuse_access():
    raise OSError(errno.EACCES, os.strerror(errno.EACCES), '/secret')


def speak(text):
    raise ValueError(text)


def group():
    raise sys.modules[len.__module__].ExceptionGroup('many', [ValueError('one'), KeyError('two')])


# -- returning what cannot cross ---------------------------------------------


def unencodable(kind):
    if kind == 'object':
        return object()
    if kind == 'inside':
        return {'list': [1, (2, object())]}
    if kind == 'generator':
        return (number for number in range(3))
    if kind == 'function':
        return unencodable
    if kind == 'class':
        return Tool
    if kind == 'module':
        return sys
    if kind == 'file':
        return sys.stdout
    if kind == 'exception':
        return ValueError('returned')
    if kind == 'range':
        return iter([])
    if kind == 'ellipsis':
        return Ellipsis
    loop = []
    loop.append(loop)
    return loop


def deep(levels):
    value = 0
    for _ in range(levels):
        value = [value]
    return value


def big(size):
    return ('x' * size).encode('ascii')


def length(value):
    return len(value)


def send_deep(channel, levels):
    channel.send(deep(levels))


def bounce(channel):
    for value in channel:
        channel.send(value)
