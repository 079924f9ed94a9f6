"""
Values beyond the plain ones: what they are taken apart into, and made from.

Both ways across a link use this one table.  On the way up a rich value is the
tag ``x`` with a name and arguments; on the way down, where marshal carries the
rest, a tuple that begins with ``Ellipsis``, which is no value of its own.

Invariants:

* ``make(*take_apart(value))`` equals ``value`` where the type exists here.
* An instance of a subclass of a listed type arrives as that type.

Follows the preamble; imported when the first rich value comes or goes.
"""
from econtext.core import codec
from econtext.core.codec import ENCODERS, series, sized
from econtext.core.wire import EMPTY


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


# Qualified name of a type -> (name on the wire, function to its arguments).
APART = {  # type: dict[str, tuple[str, Callable[[Any], Any]]]
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
    'pathlib.PurePosixPath': ('posixpath', lambda value: (str(value),)),
    'pathlib.PureWindowsPath': ('windowspath', lambda value: (str(value),)),
    'econtext.Context': ('context', lambda value: value.cross()),
    'econtext.Channel': ('channel', lambda value: value.cross()),
}
EXACT = {  # type: dict[Any, Callable[[Any], Any]]
    int: int.__pos__, codec.Long: codec.Long.__pos__, float: float.__pos__,
    codec.Text: lambda value: codec.Text.__getitem__(value, slice(None)) + '',
    type(EMPTY): lambda value: EMPTY + value,
    tuple: lambda value: tuple([flat(item) for item in value]),
    list: lambda value: [flat(item) for item in value],
    dict: lambda value: dict([(flat(key), flat(value[key])) for key in value]),
    bool: bool, type(None): lambda value: None,
    set: lambda value: set([flat(item) for item in value]),
    frozenset: lambda value: frozenset([flat(item) for item in value]),
    complex: lambda value: complex(value.real, value.imag),
}


def bytes_of(value):
    # type: (Any) -> bytes
    return type(EMPTY)(value)


def take_apart(value):
    # type: (Any) -> Any
    """Return (name, arguments), or None if `value` is of no listed type."""
    for base in type(value).__mro__:
        module = getattr(base, 'crosses_as', base.__module__)
        if module.startswith('pathlib.'):
            module = 'pathlib'
        if module == '__builtin__':
            module = 'builtins'
        found = APART.get('%s.%s' % (module, base.__name__))
        if found:
            return found[0], found[1](value)


def encode(value):
    # type: (Any) -> bytes
    """Encode for the way up what `codec.encode` does not know."""
    for base in type(value).__mro__:
        if base in ENCODERS:
            return ENCODERS[base](value)
    parts = take_apart(value)
    if parts is None:
        raise refusal(value)
    if parts[0] == 'bytes':
        return sized('b', parts[1][0])
    return series('x', (parts[0],) + tuple(parts[1]))


def flat(value):
    # type: (Any) -> Any
    """Return for the way down what marshal can carry of `value`."""
    kind = type(value)
    if kind in EXACT:
        return EXACT[kind](value)
    parts = take_apart(value)
    if parts and parts[0] not in ('complex', 'set', 'frozenset', 'bytes'):
        return (Ellipsis, parts[0]) + tuple([flat(item) for item in parts[1]])
    if parts and parts[0] == 'bytes':
        return parts[1][0]
    for base in kind.__mro__:
        if base in EXACT:
            return EXACT[base](value)
    raise refusal(value)


def refusal(value):
    # type: (Any) -> TypeError
    return TypeError(
        'a %s.%s cannot cross between contexts: send a dict, a list or '
        'another plain value made from it' % (
            type(value).__module__, type(value).__name__))


def restore(owner, value):
    # type: (Any, Any) -> Any
    """Make again what `flat` took apart; contexts and channels are of `owner`."""
    kind = type(value)
    if kind in (tuple, list):
        items = [restore(owner, item) for item in value]
        if items and items[0] is Ellipsis:
            return make(owner, items[1], items[2:])
        return kind(items)
    if kind is dict:
        return dict([(restore(owner, key), restore(owner, value[key])) for key in value])
    if kind in (set, frozenset):
        return kind([restore(owner, item) for item in value])
    return value


def make_zone(parts):
    # type: (Any) -> Any
    if parts is None:
        return None
    seconds, name, key = parts
    if key:
        try:
            import zoneinfo
            return zoneinfo.ZoneInfo(key)
        except (ImportError, LookupError):
            # No database here: the offset of that moment is what is left.
            pass
    import datetime
    offset = datetime.timedelta(0, seconds)
    try:
        return datetime.timezone(offset, name or '')
    except AttributeError:
        from econtext.core import fixed
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


def maker(module, name):
    # type: (str, str) -> Callable[..., Any]
    return lambda *args: getattr(__import__(module), name)(*args)


def make_path(name):
    # type: (str) -> Callable[[Any], Any]
    def make(text):
        # type: (Any) -> Any
        try:
            import pathlib
        except ImportError:
            return text
        return getattr(pathlib, name)(text)
    return make


MAKERS = {
    'complex': complex,
    'set': lambda *args: set(args),
    'frozenset': lambda *args: frozenset(args),
    'datetime': make_datetime,
    'time': make_time,
    'date': maker('datetime', 'date'),
    'timedelta': maker('datetime', 'timedelta'),
    'decimal': maker('decimal', 'Decimal'),
    'uuid': maker('uuid', 'UUID'),
    'posixpath': make_path('PurePosixPath'),
    'windowspath': make_path('PureWindowsPath'),
}


def make(owner, name, args):
    # type: (Any, str, Sequence[Any]) -> Any
    """Make the rich value `name` of `args`; any exception says it is malformed."""
    if name in ('context', 'channel'):
        return owner.make(name, *args)
    return MAKERS[name](*args)
