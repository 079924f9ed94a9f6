"""
Values beyond the plain ones: what they are taken apart into, and made from.

Both ways across a link use this one table.  On the way up a rich value is the
tag ``x`` with a name and arguments; on the way down, where marshal carries the
rest, a tuple that begins with ``Ellipsis``, which is no value of its own.
Values of classes that the application registered go the same way, as ``type``.

Invariants:

* ``make(*take_apart(value))`` equals ``value`` where the type exists here.
* An instance of a subclass of a listed type arrives as that type, unless its own
  class was registered.
* A type that this Python does not have arrives as what it is made from: a text,
  a tuple.  Modules are imported for listed types only.
* What is made takes time in proportion to what it is made from, and no value makes
  this process look through the disk, but for the first UNKNOWN zones of no database.

Sent behind HELLO; imported when the first rich value comes or goes.  Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

import sys

from econtext.core import codec
from econtext.core.calls import find
from econtext.core.codec import ENCODERS, native, series, sized
from econtext.child.registry import TYPES
from econtext.core.wire import EMPTY

try:
    Range = xrange  # type: type[range]  # type: ignore[name-defined]
except NameError:
    Range = range


def moment(value):
    # type: (Any) -> tuple[Any, ...]
    return value.hour, value.minute, value.second, value.microsecond


def zone(value):
    # type: (Any) -> Any
    """A time zone as (seconds east, name, key in the database), or None."""
    offset = value.utcoffset()
    if offset is None:
        return None
    key = getattr(value.tzinfo, 'key', None)
    return offset.days * 86400 + offset.seconds, value.tzname(), key


def when(value):
    # type: (Any) -> tuple[Any, ...]
    return (value.year, value.month, value.day) + moment(value) + (
        zone(value), getattr(value, 'fold', 0))


def structure(value):
    # type: (Any) -> tuple[Any, ...]
    """A value of a type of C that is a tuple with names: (items, what else has a name)."""
    return value.__reduce__()[1]  # type: ignore[no-any-return]


def ratio(value):
    # type: (Any) -> tuple[Any, ...]
    if max(abs(value.numerator), value.denominator) >> MOST_BITS:
        raise TypeError(
            'a Fraction of more than %d bits cannot cross between contexts: '
            'send its numerator and denominator' % MOST_BITS)
    return value.numerator, value.denominator


def steps(value):
    # type: (Any) -> tuple[Any, ...]
    """Start, stop and step of a range."""
    try:
        parts = value.__reduce__()[1]  # type: tuple[Any, ...]
    except TypeError:
        # Before Python 2.6 an xrange tells them nowhere else.
        parts = tuple([int(number) for number in repr(value)[len('xrange('):-1].split(',')])
        if len(parts) == 1:
            parts = (0,) + parts
        parts = (parts + (1,))[:3]
    if max([abs(part) for part in parts]) >> MOST_BITS:
        raise TypeError(
            'a range of numbers of more than %d bits cannot cross between contexts: '
            'send its start, stop and step' % MOST_BITS)
    return parts


# What a Fraction is made of is divided by what both have in common, and a range by its
# step, which takes time.
MOST_BITS = 1 << 14
UNKNOWN = 16        # keys of no zone that are looked for on the disk
ALIASES = {'__builtin__': 'builtins', 'posix': 'os'}
STRUCTURES = (
    'os.stat_result os.statvfs_result os.uname_result os.times_result os.terminal_size '
    'time.struct_time pwd.struct_passwd grp.struct_group resource.struct_rusage').split()
NETWORK = ['ipaddress.IPv%d%s' % (version, kind)
           for version in (4, 6) for kind in ('Address', 'Interface', 'Network')]
# Qualified name of a type -> (name on the wire, function to its arguments).
APART = {
    'builtins.complex': ('complex', lambda value: (value.real, value.imag)),
    'builtins.set': ('set', tuple),
    'builtins.frozenset': ('frozenset', tuple),
    'builtins.bytearray': ('bytes', lambda value: (bytes_of(value),)),
    'builtins.memoryview': ('bytes', lambda value: (value.tobytes(),)),
    'datetime.datetime': ('datetime', when),
    'datetime.date': ('date', lambda value: (value.year, value.month, value.day)),
    'datetime.time': ('time', lambda value: moment(value) + (
        zone(value), getattr(value, 'fold', 0))),
    'datetime.timedelta': ('timedelta', lambda value: (
        value.days, value.seconds, value.microseconds)),
    'decimal.Decimal': ('decimal', lambda value: (str(value),)),
    'uuid.UUID': ('uuid', lambda value: (value.hex,)),
    'builtins.range': ('range', steps),
    'builtins.xrange': ('range', steps),
    'fractions.Fraction': ('fraction', ratio),
    'subprocess.CompletedProcess': ('completed', lambda value: (
        value.args, value.returncode, value.stdout, value.stderr)),
    'shutil.usage': ('usage', tuple),
    'platform.uname_result': ('uname', tuple),
    'econtext.Context': ('context', lambda value: value._cross()),
    'econtext.Channel': ('channel', lambda value: value._cross()),
    'econtext.Secret': ('secret', lambda value: (value.reveal(),)),
}  # type: dict[str, tuple[str, Callable[[Any], Any]]]
# A path that names a file arrives as one, that of the system there.  The class below the last of these a class of
# the user's may have for its base, since Python 3.12: then it is of the system here.
PATHS = {'PosixPath': 'path', 'PurePosixPath': 'posixpath', 'WindowsPath': 'windowspath',
         'PureWindowsPath': 'windowspath', 'Path': 'path', 'PurePath': 'posixpath'}
APART.update([('pathlib.' + kind, (PATHS[kind], lambda value: (str(value),))) for kind in PATHS])
APART.update([(name, (name, structure)) for name in STRUCTURES])
APART.update([(name, (name, lambda value: (str(value),))) for name in NETWORK])
SIMPLE = {
    int: int.__pos__, codec.Long: codec.Long.__pos__, float: float.__pos__,
    codec.Text: lambda value: codec.Text.__getitem__(value, slice(None)) + '',
    type(EMPTY): lambda value: EMPTY + value,
    bool: bool, type(None): lambda value: None,
    complex: lambda value: complex(value.real, value.imag),
}  # type: dict[Any, Callable[[Any], Any]]
HOLDERS = {
    tuple: lambda value, met: tuple([flat(item, met) for item in value]),
    list: lambda value, met: [flat(item, met) for item in value],
    dict: lambda value, met: table(value, met),
    set: lambda value, met: hashed(set, [flat(item, met) for item in value]),
    frozenset: lambda value, met: hashed(frozenset, [flat(item, met) for item in value]),
}  # type: dict[Any, Callable[[Any, Any], Any]]


def bytes_of(value):
    # type: (Any) -> bytes
    return type(EMPTY)(value)


def take_apart(value):
    # type: (Any) -> Any
    """Return (name, arguments), or None if `value` is of no listed or registered type."""
    kind = class_of(value)
    if kind in TYPES:
        from econtext.child import named
        return 'type', named.take_apart(value, kind)
    for base in type(value).__mro__:
        found = listed(base)
        if found:
            return found[0], found[1](value)


def listed(kind):
    # type: (Any) -> Any
    """Return what APART has of the class `kind`, or None."""
    module = getattr(kind, '_crosses_as', kind.__module__)
    if module.startswith('pathlib.'):
        module = 'pathlib'
    return APART.get('%s.%s' % (ALIASES.get(module, module), kind.__name__))


def class_of(value):
    # type: (Any) -> Any
    """Return the class of `value`, also if it is one of the old kind of Python 2."""
    kind = type(value)
    if kind.__name__ == 'instance':
        kind = value.__class__
    return kind


def encode(value):
    # type: (Any) -> bytes
    """Encode for the way up what `codec.encode` does not know."""
    if class_of(value) not in TYPES:
        for base in type(value).__mro__:
            if listed(base):
                break
            if base in ENCODERS:
                return ENCODERS[base](value)
    parts = take_apart(value)
    if parts is None:
        raise refusal(value)
    if parts[0] == 'bytes':
        return sized('b', parts[1][0])
    return series('x', (parts[0],) + tuple(parts[1]))


def flat(value, met=None):
    # type: (Any, Any) -> Any
    """
    Return for the way down what marshal can carry of `value`.

    `met` is called with each channel, and each value of a registered class, in it; and with each function and class,
    for which it returns the module and the name by which another interpreter finds that, or None.
    """
    kind = type(value)
    if kind in SIMPLE:
        return SIMPLE[kind](value)
    if kind in HOLDERS:
        return HOLDERS[kind](value, met)
    if met and isinstance(value, FUNCTIONS):
        found = met(value)
        if found:
            return (Ellipsis, 'function') + found
    parts = take_apart(value)
    if parts and met and parts[0] in ('channel', 'type'):
        met(value)
    if parts and parts[0] not in ('complex', 'set', 'frozenset', 'bytes'):
        return (Ellipsis, parts[0]) + tuple([flat(item, met) for item in parts[1]])
    if parts and parts[0] == 'bytes':
        return parts[1][0]
    for base in kind.__mro__:
        if base in SIMPLE:
            return SIMPLE[base](value)
        if base in HOLDERS:
            return HOLDERS[base](value, met)
    raise refusal(value)


def table(value, met):
    # type: (dict[Any, Any], Any) -> Any
    pairs = [(flat(key, met), flat(value[key], met)) for key in value]
    try:
        return dict(pairs)
    except TypeError:
        # A key can be hashed; what it was taken apart into cannot.
        return (Ellipsis, 'dict') + tuple([part for pair in pairs for part in pair])


def hashed(kind, items):
    # type: (Any, list[Any]) -> Any
    try:
        return kind(items)
    except TypeError:
        # As in a table.
        return (Ellipsis, kind.__name__) + tuple(items)


def without_sets(value):
    # type: (Any) -> Any
    """Return what `flat` returned for a Python whose marshal has no sets: that of 2.4."""
    kind = type(value)
    if kind in (set, frozenset):
        return (Ellipsis, kind.__name__) + tuple([without_sets(item) for item in value])
    if kind in (tuple, list):
        return kind([without_sets(item) for item in value])
    if kind is dict:
        return dict([(without_sets(key), without_sets(value[key])) for key in value])
    return value


# What to do about values of types that no registration helps, of the language and of these modules.
BOUND = '_thread', 'thread', 'threading', '_socket', 'socket'
REMEDIES = {
    'generator': 'iterate over the function that makes it by stream(), or send a list of its values',
    'coroutine': 'have a plain function run it, by asyncio.run(), and return the result',
    'async_generator': 'have a plain function collect its values, under asyncio.run(), and return a list',
    'function': 'send its name, and look it up there; or call it itself',
    'module': 'import it there',
    'type': 'send its name, and look it up there',
}
for _name in 'method', 'instancemethod', 'builtin_function_or_method', 'method-wrapper':
    REMEDIES[_name] = REMEDIES['function']


def refusal(value):
    # type: (Any) -> TypeError
    from econtext.child import labels
    kind = class_of(value)
    name = labels.place(kind)
    name = name[0] or len.__module__, name[1]
    remedy = 'send a dict, a list or another plain value made from it'
    if name[0] != len.__module__:
        remedy = (
            'register the class with econtext.register in a module that both ends import, or ' + remedy)
    else:
        remedy = REMEDIES.get(name[1], remedy)
    if name[0] in BOUND:
        remedy = 'it is bound to the process that made it: make one there'
    if name[0].startswith('econtext.'):
        remedy = 'it is bound to the process that made it: send what is needed of it'
    if name[0] in ('_io', 'io'):
        remedy = 'send the path of the file, or the bytes that are in it'
    if name in TYPES:
        remedy = (
            'another class of that name was registered: put @econtext.register above all '
            'other decorators of the class')
    return TypeError('a %s.%s cannot cross between contexts: %s' % (name + (remedy,)))


def restore(owner, value):
    # type: (Any, Any) -> Any
    """
    Make again what `flat` took apart; contexts and channels are of `owner`.

    Here alone, on the way down, a function is found by its name: nothing from below names one.
    """
    kind = type(value)
    if kind in (tuple, list):
        items = [restore(owner, item) for item in value]
        if items and items[0] is Ellipsis:
            if items[1] == 'type':
                from econtext.child import named
                return named.receive(*items[2:])
            if items[1] == 'function':
                return find(native(items[2]), native(items[3]))
            if items[1] == 'dict':
                return dict(zip(items[2::2], items[3::2]))
            return make(owner, items[1], items[2:])
        return kind(items)
    if kind is dict:
        return dict([(restore(owner, key), restore(owner, value[key])) for key in value])
    if kind in (set, frozenset):
        return kind([restore(owner, item) for item in value])
    return value


class Zones(object):
    """Zones by their keys: each is read from the disk once, and few that are not there are looked for."""

    def __init__(self):
        # type: () -> None
        self.found = {}  # type: dict[Any, Any]
        self.missed = 0  # type: int
        # The keys of the database, once enough were missed.
        self.keys = None  # type: Any

    def get(self, key):
        # type: (Any) -> Any
        """Return the zone `key` names, None if there is none here."""
        try:
            return self.found[key]
        except KeyError:
            pass
        if self.keys is None and self.missed >= UNKNOWN:
            self.keys = database()
        if self.keys is not None and self.plainly(key) not in self.keys:
            return None
        zone = look_up(key)
        if zone is None:
            self.missed += 1
        if zone is not None or self.keys is None:
            self.found[key] = zone
        return zone

    def plainly(self, key):
        # type: (Any) -> Any
        """Return a key without the name of a variant of the database."""
        if key[:6] in ('posix/', 'right/'):
            return key[6:]
        return key


def look_up(key):
    # type: (Any) -> Any
    try:
        import zoneinfo
        return zoneinfo.ZoneInfo(key)
    except (ImportError, LookupError, EnvironmentError):
        # Of a folder of zones: it cannot be read.
        return None


def database():
    # type: () -> Any
    """Return the keys of all zones."""
    try:
        import zoneinfo
        return zoneinfo.available_timezones()
    except ImportError:
        return ()


named_zone = Zones().get  # type: Callable[[Any], Any]
# What a name stands for on the way down: functions of Python and of C, methods, classes.
FUNCTIONS = type(moment), type(len), type(str.upper), type(named_zone), type


def make_zone(parts):
    # type: (Any) -> Any
    if parts is None:
        return None
    seconds, name, key = parts
    if seconds % 60 and sys.version_info < (3, 7):
        raise ValueError(
            'the offset of the zone %s from UTC has seconds, which need Python 3.7 or newer: '
            'send the time in another zone, such as UTC' % (name or key))
    if key:
        found = named_zone(key)
        if found is not None:
            return found
        # No database here: the offset of that moment is what is left.
    import datetime
    offset = datetime.timedelta(0, seconds)
    try:
        return datetime.timezone(offset, name or '')
    except AttributeError:
        from econtext.child import fixed
        # Python 2 takes a name that is its own str, and no other.
        return fixed.Zone(offset, str((name or '').encode('ascii', 'replace').decode('ascii')))


def make_datetime(year, month, day, hour, minute, second, micro, parts, fold):
    # type: (int, int, int, int, int, int, int, Any, int) -> Any
    import datetime
    value = datetime.datetime(
        year, month, day, hour, minute, second, micro, make_zone(parts))
    if fold and hasattr(value, 'fold'):
        value = value.replace(fold=fold)
    return value


def make_time(hour, minute, second, micro, parts, fold):
    # type: (int, int, int, int, Any, int) -> Any
    import datetime
    value = datetime.time(hour, minute, second, micro, make_zone(parts))
    if fold and hasattr(value, 'fold'):
        value = value.replace(fold=fold)
    return value


def maker(name, build=None):
    # type: (str, Any) -> Callable[..., Any]
    """Return what makes values of the type of that name, by `build(type, ...)` or the type."""
    module, name = name.split('.')
    # A module that is not here is looked for once, since each time takes long.
    missing = []  # type: list[str]

    def make(*args):
        # type: (Any) -> Any
        kind = None
        if not missing:
            try:
                kind = getattr(__import__(module), name, None)
            except ImportError:
                missing.append(module)
        if kind is None:
            # This Python does not have it.
            if len(args) == 1 or build is make_structure:
                return args[0]
            return args
        if build:
            return build(kind, *args)
        return kind(*args)
    return make


def make_structure(kind, items, extra):
    # type: (Any, Any, Any) -> Any
    # A newer Python refuses names that it does not know.
    return kind(items, dict([(native(key), extra[key]) for key in extra if hasattr(kind, key)]))


def make_uname(kind, *items):
    # type: (Any, Any) -> Any
    try:
        return kind(*items)
    except TypeError:
        # Since 3.9 the last one is found when asked for: there, and not here.
        value = kind(*items[:5])
        value.__dict__['processor'] = items[5]
        return value


MAKERS = {
    'complex': complex,
    'set': lambda *args: set(args),
    'frozenset': lambda *args: frozenset(args),
    'datetime': make_datetime,
    'time': make_time,
    'date': maker('datetime.date'),
    'timedelta': maker('datetime.timedelta'),
    'decimal': maker('decimal.Decimal'),
    'uuid': maker('uuid.UUID'),
    'path': maker('pathlib.Path'),
    'posixpath': maker('pathlib.PurePosixPath'),
    'windowspath': maker('pathlib.PureWindowsPath'),
    'secret': lambda text: sys.modules['econtext'].Secret(text),
    'range': Range,
    'fraction': maker('fractions.Fraction'),
    'completed': maker('subprocess.CompletedProcess'),
    'usage': maker('shutil._ntuple_diskusage'),
    'uname': maker('platform.uname_result', make_uname),
}  # type: dict[str, Callable[..., Any]]
MAKERS.update([(name, maker(name, make_structure)) for name in STRUCTURES])
MAKERS.update([(name, maker(name)) for name in NETWORK])


def make(owner, name, args):
    # type: (Any, str, Sequence[Any]) -> Any
    """Make the rich value `name` of `args`; any exception says it is malformed."""
    if name in ('context', 'channel'):
        return owner.make(name, *args)
    return MAKERS[name](*args)


ENCODERS[None] = encode
