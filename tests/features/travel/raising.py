"""Functions that raise exceptions of every kind, in any Python."""
import errno
import os
import select
import socket
import subprocess
import sys

import econtext

try:
    import configparser
except ImportError:
    import ConfigParser as configparser
try:
    import queue
except ImportError:
    import Queue as queue
try:
    from urllib.error import HTTPError
except ImportError:
    from urllib2 import HTTPError


@econtext.register
class Refused(Exception):
    def __init__(self, code, reason):
        if not isinstance(code, int):
            raise TypeError('a code is a number')
        Exception.__init__(self, 'refused with %d' % code)
        self.code = code
        self.reason = reason


@econtext.register
class Watchful(ValueError):
    """Does something else than all exceptions wherever it can."""

    def __init__(self, number):
        ValueError.__init__(self, number)
        self.__dict__['number'] = number

    def __setattr__(self, name, value):
        raise RuntimeError('nothing is set here')

    def __getattr__(self, name):
        raise RuntimeError('there is nothing')

    def __eq__(self, other):
        raise RuntimeError('not comparable')

    __hash__ = None

    @property
    def message(self):
        raise RuntimeError('no message')

    def __str__(self):
        return 'watchful'


class Odd(Exception):
    pass


def command(*argv):
    subprocess.check_call(argv)


def called(returncode, cmd, output):
    raise subprocess.CalledProcessError(returncode, cmd, output)


def expired(cmd, timeout, output):
    raise subprocess.TimeoutExpired(cmd, timeout, output)


def by_number(kind, number):
    kinds = {'OSError': OSError, 'IOError': IOError, 'socket': socket.error, 'select': select.error}
    raise kinds[kind](getattr(errno, number), os.strerror(getattr(errno, number)))


def missing_option():
    raise configparser.NoOptionError('colour', 'paint')


def empty():
    raise queue.Empty('nothing')


def web():
    raise HTTPError('http://example.org/', 404, 'not here', {}, None)


def undecodable():
    return '\xe4\xff'.encode('latin-1').decode('ascii')


def key(value):
    raise KeyError(value)


def standard(name):
    """Raise what a module of the standard library raises."""
    import json
    import struct
    cases = {
        'rename': lambda: os.rename('/no/such/a', '/no/such/b'),
        'open': lambda: open('/no/such/a'),
        'json': lambda: json.loads('{"a": }'),
        'import': lambda: __import__('no_such_module'),
        'syntax': lambda: compile('a = (', 'file.py', 'exec'),
        'syntax line': lambda: compile('x = 1\na b\n', 'file.py', 'exec'),
        'address': lambda: socket.getaddrinfo('no.such.host.invalid', 80, 0, 0, 0, socket.AI_NUMERICHOST),
        'struct': lambda: struct.pack('b', 5000),
        'encode': lambda: u'\xe4'.encode('ascii'),
        'url': url,
        'call': lambda: subprocess.check_call(['/no/such/program']),
        'stop': lambda: next(iter(())),
        'division': lambda: 1 // 0,
        'attribute': lambda: None.attribute,
        'index': lambda: [][1],
        'recursion': recurse,
    }
    return cases[name]()


def recurse():
    return recurse()


def url():
    try:
        from urllib.error import URLError
    except ImportError:
        from urllib2 import URLError
    raise URLError(OSError(errno.ECONNREFUSED, 'refused'))


def noted():
    error = ValueError('x')
    error.add_note('first')
    error.add_note('second')
    raise error


def members():
    found = []
    for function, args in (key, ('k',)), (refused, (5, 'why')), (leave, (3,)):
        try:
            function(*args)
        except BaseException:
            found.append(sys.exc_info()[1])
    return found


def group(kind='BaseExceptionGroup'):
    """Raise a group within a group; built in from Python 3.11 on."""
    group = getattr(sys.modules[len.__module__], kind)
    some = [error for error in members() if isinstance(error, Exception) or kind[0] == 'B']
    raise group('outer', [group('inner', some), OSError(errno.ENOENT, 'gone', 'file')])


def ask_group(context=None):
    """What a context has of a group that the program raises, or a context below."""
    try:
        if context is None:
            econtext.program.call(group, 'ExceptionGroup')
        context.call(group, 'ExceptionGroup')
    except econtext.CallError:
        error = sys.exc_info()[1]
        inner, gone = error.exceptions
        bases = [each.__class__.__bases__[-1].__name__ for each in inner.exceptions]
        return ([kind.__name__ for kind in type(error).__mro__], error.exceptions[0].__class__.__name__, gone.errno,
                isinstance(gone, EnvironmentError), bases,
                isinstance(error, econtext.CallError), inner.exceptions[0].args)


def leave(status):
    sys.exit(status)


def stop(value):
    raise StopIteration(value)


def refused(code, reason):
    raise Refused(code, reason)


def watchful(number):
    raise Watchful(number)


def odd(**attributes):
    error = Odd('odd')
    error.handle = object()
    error._private = 'x'
    for name in attributes:
        setattr(error, name, attributes[name])
    raise error


def large(kind, size):
    error = Odd('x')
    if kind == 'text':
        error = ValueError('<' + 'x' * size + '>')
    elif kind == 'attribute':
        error.output = '<' + 'x' * size + '>'
    elif kind == 'many':
        for number in range(1000):
            setattr(error, 'n%d' % number, 'x' * (size // 1000))
    elif kind == 'list':
        error.items = list(range(size))
    elif kind == 'shared':
        value = 'x'
        for _ in range(18):
            value = [value] * 18
        error.items = value
    elif kind == 'name':
        error = type('N' * size, (Odd,), {})('x')
    raise error


def ping(levels):
    if levels:
        return pong(levels - 1)
    raise ValueError('at the bottom')


def pong(levels):
    return ping(levels)


def deep_failure(levels):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20000)
    try:
        ping(levels // 2)
    finally:
        sys.setrecursionlimit(limit)


class Meta(type):
    def __getattribute__(cls, name):
        if name in ('__name__', '__qualname__', '__module__', '__mro__', '__dict__', '__bases__'):
            raise RuntimeError('nothing to see')
        return type.__getattribute__(cls, name)


class Text(str):
    def fails(self, *args):
        raise RuntimeError('no text')

    encode = decode = __len__ = __repr__ = __str__ = __add__ = fails


def hostile(name):
    """Raise what fails when it is looked at."""
    class Silent(Exception):
        def __str__(self):
            raise SystemExit(3)
        __repr__ = __str__

    class Interrupting(Exception):
        def __str__(self):
            raise KeyboardInterrupt
        __repr__ = __unicode__ = __str__

    class Worded(Exception):
        def __str__(self):
            return Text('words')

    class Propertied(Exception):
        args = property(lambda self: 1 // 0)
        __dict__ = property(lambda self: 1 // 0)
        __class__ = property(lambda self: 1 // 0)

    class Consumed(Exception):
        def __str__(self):
            raise MemoryError

    class Endless(Exception):
        def __str__(self):
            return str(self)
    Masked = Meta('Masked', (Exception,), {})
    error = Odd('x')
    error.text = Text('x')
    error.many = [Text('x')]
    cases = {
        'silent': Silent, 'interrupting': Interrupting, 'worded': Worded, 'propertied': Propertied,
        'consumed': Consumed, 'endless': Endless, 'masked': Masked, 'attributes': lambda: error,
        'surrogate': lambda: ValueError(u'\ud800'), 'number': lambda: ValueError(10 ** 5000),
        'texts': lambda: ValueError(Text('x'), Text('y')), 'memory': MemoryError,
        'named': lambda: type('Named', (Exception,), {'__module__': 3})('x')}
    if hasattr(Silent, '__qualname__'):
        cases['qualified'] = lambda: type('Named', (Exception,), {'__qualname__': 'x' * 100000})('x')
    raise cases[name]()


HOSTILE = ('silent interrupting worded propertied consumed endless masked attributes surrogate number texts '
           'memory named').split()


# Asked for by a context.

def ask(function, *args):
    """What the program's function raises, and what can be said of it."""
    try:
        return econtext.program.call(function, *args)
    except econtext.CallError:
        error = sys.exc_info()[1]
        names = [kind.__name__ for kind in type(error).__mro__]
        return names, str(error), repr(error.args), sorted(
            [(name, error.__dict__[name]) for name in error.__dict__ if name != 'text'])


def ask_key(value):
    try:
        econtext.program.call(key, value)
    except KeyError:
        error = sys.exc_info()[1]
        return isinstance(error, econtext.CallError), error.args[0]


def ask_missing(kind, number):
    try:
        econtext.program.call(by_number, kind, number)
    except EnvironmentError:
        return sys.exc_info()[1].errno


def ask_refused(code):
    try:
        econtext.program.call(refused, code, 'why')
    except Refused:
        error = sys.exc_info()[1]
        return isinstance(error, econtext.CallError), error.code, error.reason, str(error)


def below(context, name, *args):
    try:
        return context.call(globals()[name], *args)
    except econtext.CallError:
        error = sys.exc_info()[1]
        return [kind.__name__ for kind in type(error).__mro__], str(error), error.__dict__.get('code')


def of_control(name):
    """Raise what a caller would take for something of its own."""
    kinds = {}
    for each in 'StopIteration StopAsyncIteration GeneratorExit SystemExit KeyboardInterrupt TimeoutError'.split():
        kinds[each] = getattr(sys.modules[len.__module__], each, None)
    kinds['socket'] = socket.timeout
    kinds['Interrupted'] = getattr(econtext, 'Interrupted', None)
    kinds['ContextLost'] = getattr(econtext, 'ContextLost', None)
    kind = kinds.get(name)
    if kind is None:
        module = __import__({'asyncio': 'asyncio'}.get(name.split(' ')[0], 'concurrent.futures'), {}, {}, ['x'])
        kind = getattr(module, name.split(' ')[-1])
    raise kind('said so')


def of_control_behind(name):
    """Yield something, and then raise that; what a generator cannot raise it raises otherwise."""
    yield 1
    of_control(name)


def of_the_net(name):
    """Raise what sounds like the link, and is the function's own."""
    raise getattr(sys.modules[len.__module__], name)(5, 'said so')


def bases_of_control(name):
    """Return the names of the types of what the program raised."""
    try:
        __import__('concurrent.futures')
    except ImportError:
        pass
    try:
        econtext.program.call(of_control, name)
    except econtext.CallError:
        return [each.__name__ for each in type(sys.exc_info()[1]).__mro__]
