"""Every type that crosses, made and judged in the context."""

import collections
import datetime
import decimal
try:
    import uuid
except ImportError:
    uuid = None     # before Python 2.5

try:
    import pathlib
except ImportError:
    pathlib = None


def echo(value):
    return value


def kinds(values):
    """Return the names of the types that arrived."""
    return [type(value).__name__ for value in values]


def text(literal):
    """Return what Python 3 calls a text, from its escapes."""
    return literal.encode('ascii').decode('unicode_escape')


def build():
    """Return name -> a value of each type, made here."""
    utc = None
    if hasattr(datetime, 'timezone'):
        utc = datetime.timezone.utc
    made = {
        'none': None,
        'bools': (True, False),
        'ints': [0, -1, 2 ** 31, -2 ** 63, 2 ** 64, 10 ** 1000, -10 ** 100],
        'floats': [0.0, -0.0, 1.5, 1e308, 5e-324, float('inf'), -float('inf')],
        'complex': complex(1.5, -2),
        'text': text('a\\xe4\\u20ac\\U0001f600\\0\\n'),
        'empty': [(), [], {}, text(''), set(), frozenset()],
        'tuple': (1, (2, (3,))),
        'dict': {text('k'): 1, 2: None, (1, 2): [3], None: {}, 1.5: True},
        'set': set([1, text('two'), (3,)]),
        'frozenset': frozenset([1, frozenset([2])]),
        'datetime': datetime.datetime(2024, 2, 29, 23, 59, 58, 999999, utc),
        'naive': datetime.datetime.min,
        'date': datetime.date.max,
        'time': datetime.time(1, 2, 3, 4),
        'timedelta': datetime.timedelta(-1, 1, 1),
        'decimal': [decimal.Decimal('1.10'), decimal.Decimal('-Infinity'), decimal.Decimal('1E+100')],
    }
    if uuid:
        made['uuid'] = uuid.UUID(int=2 ** 127 + 1)
    if pathlib:
        made['path'] = [pathlib.PurePosixPath('/a/b c'), pathlib.PureWindowsPath('c:/x')]
    return made


def build_derived():
    """Values of derived types, which arrive as what they derive from."""
    class Number(int):
        pass

    class Word(str):
        pass

    derived = [Number(7), Word('w')]
    if hasattr(collections, 'OrderedDict'):
        point = collections.namedtuple('Point', 'x y')
        ordered = collections.OrderedDict([('b', 1), ('a', 2)])
        counted = collections.defaultdict(list)
        counted['k'].append(1)
        derived += [point(1, 2), ordered, counted, bytearray([1, 2, 255])]
    return derived


def native(data):
    """Return bytes, given as a list of numbers: to Python 2 that is its str."""
    import array
    made = array.array('B', data)
    if hasattr(made, 'tobytes'):
        return made.tobytes()
    return made.tostring()


def native_in(data):
    found = native(data)
    return {'key': [found, (found,)], found: 1}


def receive(value):
    """What `value` is to this Python: (type, code points or numbers)."""
    found = list(value)
    if found and hasattr(found[0], 'lower'):
        found = [ord(item) for item in found]
    return type(value).__name__, found
