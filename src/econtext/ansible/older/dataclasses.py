"""
``dataclasses``, which came with Python 3.7: what sources of Ansible's modules use of it.

Invariants:

* Fields are the annotations of a class, in their order, bases first; those that name ClassVar are none.
* An instance is made, compared, hashed, shown and frozen as by the standard module.
* `slots` and `kw_only` are not known, as they are not to Python 3.7 to 3.9.

Any thread may enter.
"""
import copy
import re
import types

MISSING = type('MISSING', (), {})()
FACTORY = type('FACTORY', (), {'__repr__': lambda self: '<factory>'})()
_FIELDS, _PARAMS, _POST_INIT = '__dataclass_fields__', '__dataclass_params__', '__post_init__'
# Known to code that patches the standard module.
_MODULE_IDENTIFIER_RE = re.compile(r'^(?:\s*(\w+)\s*\.)?\s*(\w+)')


class FrozenInstanceError(AttributeError):
    pass


class InitVar(object):
    def __init__(self, type=None):
        self.type = type


class Field(object):
    __slots__ = ('compare', 'default', 'default_factory', 'hash', 'init', 'kind', 'metadata', 'name', 'repr', 'type')

    def __init__(self, default, default_factory, init, repr, hash, compare, metadata):
        self.name = self.type = None
        self.kind = 'field'
        self.default, self.default_factory, self.init, self.repr = default, default_factory, init, repr
        self.hash, self.compare = hash, compare
        self.metadata = types.MappingProxyType(metadata or {})


def field(*, default=MISSING, default_factory=MISSING, init=True, repr=True, hash=None, compare=True, metadata=None):
    if default is not MISSING and default_factory is not MISSING:
        raise ValueError('cannot specify both default and default_factory')
    return Field(default, default_factory, init, repr, hash, compare, metadata)


def _is_type(annotation, cls, a_module, a_type, is_type_predicate):
    return False


def kind_of(annotation):
    """Return whether an annotation is that of a field, of the class, or of an argument alone."""
    text = annotation if isinstance(annotation, str) else repr(annotation)
    name = re.match(r'\s*(?:[\w.]+\.)?(\w+)', text)
    found = name.group(1) if name else ''
    if isinstance(annotation, InitVar) or found == 'InitVar':
        return 'argument'
    return 'class' if found == 'ClassVar' else 'field'


def dataclass(cls=None, *, init=True, repr=True, eq=True, order=False, unsafe_hash=False, frozen=False):
    def wrap(cls):
        return _process(cls, init, repr, eq, order, unsafe_hash, frozen)

    return wrap if cls is None else wrap(cls)


def _process(cls, init, repr, eq, order, unsafe_hash, frozen):
    found = {}
    for base in cls.__mro__[-1:0:-1]:
        inherited = base.__dict__.get(_FIELDS)
        if inherited is not None:
            found.update(inherited)
            if base.__dict__[_PARAMS]['frozen'] != frozen:
                raise TypeError('cannot inherit frozen dataclass from a non-frozen one, or the other way round')
    for name, annotation in cls.__dict__.get('__annotations__', {}).items():
        kind = kind_of(annotation)
        given = cls.__dict__.get(name, MISSING)
        if isinstance(given, types.MemberDescriptorType):
            given = MISSING     # in __slots__
        made = given if isinstance(given, Field) else field(default=given)
        if kind == 'class':
            continue
        if isinstance(made.default, (list, dict, set)):
            raise ValueError('mutable default for field %s is not allowed: use default_factory' % name)
        made.name, made.type, made.kind = name, annotation, kind
        found[name] = made
        if isinstance(given, Field):
            if made.default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, made.default)
    setattr(cls, _FIELDS, found)
    setattr(cls, _PARAMS, {'frozen': frozen, 'eq': eq, 'order': order})
    _check_order(found)
    if init:
        _set(cls, '__init__', _make_init(list(found.values()), frozen))
    if repr:
        _set(cls, '__repr__', _repr, keep=True)
    own_hash = '__hash__' in cls.__dict__ and not (cls.__dict__['__hash__'] is None and '__eq__' in cls.__dict__)
    if eq:
        _set(cls, '__eq__', _eq, keep=True)
    if order:
        for name, compare in _ORDER.items():
            _set(cls, name, compare)
    if unsafe_hash or (eq and frozen and not own_hash):
        _set(cls, '__hash__', _hash)
    elif eq and not own_hash:
        _set(cls, '__hash__', None)
    if frozen:
        _set(cls, '__setattr__', _refuse_set)
        _set(cls, '__delattr__', _refuse_delete)
    return cls


def _check_order(found):
    optional = None
    for each in found.values():
        if each.init and each.kind != 'class':
            if each.default is not MISSING or each.default_factory is not MISSING:
                optional = each.name
            elif optional is not None:
                raise TypeError('non-default argument %r follows default argument' % each.name)


def _set(cls, name, value, keep=False):
    if not (keep and name in cls.__dict__):
        setattr(cls, name, value)


def _make_init(found, frozen):
    """Return an __init__ that takes what `found` names, as a function written by hand would."""
    parameters, body, names = [], [], {'FACTORY': FACTORY, 'MISSING': MISSING, '_set': object.__setattr__}
    for number, each in enumerate(found):
        default = 'default_%d' % number
        value = each.name
        if each.default_factory is not MISSING:
            names[default] = each.default_factory
            value = '%s() if %s is FACTORY else %s' % (default, each.name, each.name) if each.init else '%s()' % default
            parameters += ['%s=FACTORY' % each.name] * each.init
        elif each.default is not MISSING:
            names[default] = each.default
            value = each.name if each.init else default
            parameters += ['%s=%s' % (each.name, default)] * each.init
        elif each.init:
            parameters.append(each.name)
        else:
            continue
        if each.kind == 'field':
            body.append('_set(_self, %r, %s)' % (each.name, value) if frozen else '_self.%s = %s' % (each.name, value))
    arguments = [each.name for each in found if each.kind == 'argument']
    body.append('if hasattr(_self, "__post_init__"): _self.__post_init__(%s)' % ', '.join(arguments))
    exec('def __init__(_self, %s):\n  %s' % (', '.join(parameters), '\n  '.join(body)), names)
    return names['__init__']


def _values(instance, wanted):
    return tuple(getattr(instance, each.name) for each in fields(instance) if wanted(each))


def _repr(self):
    shown = ('%s=%r' % (each.name, getattr(self, each.name)) for each in fields(self) if each.repr)
    return '%s(%s)' % (type(self).__qualname__, ', '.join(shown))


def _compared(self):
    return _values(self, lambda each: each.compare)


def _eq(self, other):
    return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self):
    return hash(_values(self, lambda each: each.compare if each.hash is None else each.hash))


def _comparison(compare):
    def compared(self, other):
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compare(_compared(self), _compared(other))

    return compared


_ORDER = {'__lt__': _comparison(lambda one, other: one < other), '__le__': _comparison(lambda one, other: one <= other),
          '__gt__': _comparison(lambda one, other: one > other), '__ge__': _comparison(lambda one, other: one >= other)}


def _refuse_set(self, name, value):
    raise FrozenInstanceError('cannot assign to field %r' % name)


def _refuse_delete(self, name):
    raise FrozenInstanceError('cannot delete field %r' % name)


def fields(value):
    try:
        found = getattr(value, _FIELDS)
    except AttributeError:
        raise TypeError('must be called with a dataclass type or instance') from None
    return tuple(each for each in found.values() if each.kind == 'field')


def is_dataclass(value):
    return hasattr(value if isinstance(value, type) else type(value), _FIELDS)


def _plain(value, make, factory):
    if is_dataclass(value) and not isinstance(value, type):
        return make(value)
    if isinstance(value, tuple) and hasattr(value, '_fields'):
        return type(value)(*[_plain(each, make, factory) for each in value])
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(each, make, factory) for each in value)
    if isinstance(value, dict):
        return type(value)((_plain(key, make, factory), _plain(each, make, factory)) for key, each in value.items())
    return copy.deepcopy(value)


def asdict(instance, *, dict_factory=dict):
    def make(value):
        return dict_factory([(each.name, _plain(getattr(value, each.name), make, None)) for each in fields(value)])

    return make(instance)


def astuple(instance, *, tuple_factory=tuple):
    def make(value):
        return tuple_factory([_plain(getattr(value, each.name), make, None) for each in fields(value)])

    return make(instance)


def replace(instance, **changes):
    for each in fields(instance):
        if not each.init:
            if each.name in changes:
                raise ValueError('field %s is declared with init=False' % each.name)
        elif each.name not in changes:
            changes[each.name] = getattr(instance, each.name)
    return instance.__class__(**changes)
