"""
Values of classes that attrs and pydantic make: how they are taken apart, and made again.

These classes are told by what they say of themselves; neither library is imported for it.  What crosses are the fields,
by the names of the attributes; for pydantic also what else a model was given, and which fields were set.

Invariants:

* A value is made by its constructor, with the names that this takes: converters and validators run.
* Nothing is lost in silence: a private attribute that is not as the constructor makes it is refused, like any other
  attribute of which the constructor knows nothing.
* What was sent chooses among the fields of the class, and of a model that takes more any names; nothing else is set.

Fetched when the first such class is met.  Pure.  Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.child.fields import REMEDY, TEXTS, Fields, check_whole, label, parameters
from econtext.core.codec import native


def way(kind):
    # type: (Any) -> Any
    """Return what takes apart and builds values of `kind`; None if it is of neither library, or like other classes."""
    if hasattr(kind, '__pydantic_root_model__'):
        return Model(kind)
    if hasattr(kind, '__fields__') and hasattr(kind, '__validators__') and hasattr(kind, '__private_attributes__'):
        return OldModel(kind)
    if hasattr(kind, '__pydantic_fields__') and hasattr(kind, '__dataclass_fields__'):
        return Renamed(kind, dataclass_names(kind))
    if hasattr(kind, '__attrs_attrs__'):
        names = attrs_names(kind)
        if sorted(names) == sorted(parameters(kind)):
            return Renamed(kind, names)


def attrs_names(kind):
    # type: (Any) -> dict[str, str]
    """Return the arguments of the constructor that attrs makes, each with the name of its attribute."""
    names = {}
    for field in kind.__attrs_attrs__:
        if field.init:
            names[getattr(field, 'alias', None) or field.name.lstrip('_')] = field.name
    return names


def dataclass_names(kind):
    # type: (Any) -> dict[str, str]
    """The same for a dataclass of pydantic."""
    names = {}
    for field in kind.__dataclass_fields__.values():
        info = kind.__pydantic_fields__.get(field.name)
        if field.init and info is not None and getattr(info, 'init', None) is not False:
            names[argument(kind, field.name, info, getattr(kind, '__pydantic_config__', None) or {})] = field.name
    return names


def argument(kind, name, info, config):
    # type: (Any, str, Any, Any) -> Any
    """Return by which name the constructor takes the field `name` of pydantic."""
    alias = info.validation_alias or info.alias
    if alias is None or config.get('populate_by_name') or config.get('validate_by_name'):
        return name
    for choice in getattr(alias, 'choices', [alias]):
        if isinstance(choice, str):
            return choice
    raise TypeError('%s takes %s from within another argument: %s' % (label(kind), name, REMEDY))


class Renamed(Fields):
    """Fields, some of which the constructor calls otherwise."""

    def __init__(self, kind, names):
        # type: (Any, dict[str, str]) -> None
        self.kind = kind
        self.names = tuple(names)  # type: tuple[str, ...]
        self.attributes = names  # type: dict[str, str]
        self.cached = cached(kind)  # type: list[str]

    def apart(self, value):
        # type: (Any) -> dict[str, Any]
        state = {}
        for name in self.names:
            try:
                state[name] = getattr(value, self.attributes[name])
            except AttributeError:
                raise TypeError('a %s cannot cross between contexts: it has no %s, which its constructor takes: %s' % (
                    label(self.kind), self.attributes[name], REMEDY))
        check_whole(value, self.kind, list(self.attributes.values()) + self.cached)
        return state


def cached(kind):
    # type: (Any) -> list[str]
    """Return the names under which attrs keeps what it finds again: a hash, cached properties in slots."""
    found = ['_attrs_cached_hash']
    for base in kind.__mro__:
        if '__attrs_attrs__' in base.__dict__:
            for default in getattr(base.__dict__.get('__getattr__'), '__defaults__', None) or ():
                if isinstance(default, dict):
                    found.extend(default)
    return found


class Model(object):
    """The fields of a model of pydantic, what else it was given, and the names of those that were set."""
    CHOSEN = '__pydantic_fields_set__'  # type: str

    def __init__(self, kind):
        # type: (Any) -> None
        self.kind = kind

    def fields(self):
        # type: () -> Any
        """Return what is known of the fields, by name: all of it, once the types that the class names are there."""
        found = getattr(self.kind, '__pydantic_fields__', None)
        if found is None:
            found = self.kind.model_fields
        return found

    def more(self, value):
        # type: (Any) -> Any
        """Return what else `value` was given."""
        return getattr(value, '__pydantic_extra__', None) or {}

    def private(self, value):
        # type: (Any) -> Any
        return getattr(value, '__pydantic_private__', None) or {}

    def takes_more(self):
        # type: () -> bool
        return self.kind.model_config.get('extra') == 'allow'

    def argument(self, name):
        # type: (str) -> Any
        return argument(self.kind, name, self.fields()[name], self.kind.model_config)

    def call(self, arguments):
        # type: (Any) -> Any
        if self.kind.__pydantic_root_model__:
            return self.kind(*arguments.values())
        return self.kind(**arguments)

    def apart(self, value):
        # type: (Any) -> tuple[Any, ...]
        fields = {}
        for name in self.fields():
            if name not in value.__dict__:
                raise TypeError('a %s cannot cross between contexts: it has no %s: %s' % (
                    label(self.kind), name, REMEDY))
            fields[name] = value.__dict__[name]
            self.argument(name)
        more = dict(self.more(value))
        private = self.private(value)
        for name in private:
            if not self.is_fresh(name, private[name]):
                raise TypeError(
                    'a %s cannot cross between contexts: its private attribute %s is not as the constructor '
                    'makes it: %s' % (label(self.kind), name, REMEDY))
        check_whole(value, self.kind, list(fields) + list(more) + list(private))
        return fields, more, tuple(sorted(getattr(value, self.CHOSEN)))

    def is_fresh(self, name, value):
        # type: (str, Any) -> bool
        """Is that what the private attribute `name` is at first?"""
        try:
            return bool(self.kind.__private_attributes__[name].get_default() == value)
        except Exception:
            return False

    def build(self, state):
        # type: (Any) -> Any
        if type(state) is not tuple or len(state) != 3 or not (
                type(state[0]) is type(state[1]) is dict and type(state[2]) is tuple):
            raise TypeError('no state of a model')
        fields, more, chosen = state
        if sorted(names_of(fields)) != sorted(self.fields()):
            raise TypeError('other fields than %s' % ', '.join(self.fields()))
        arguments = dict([(self.argument(native(name)), fields[name]) for name in fields])
        for name in names_of(more):
            if name in arguments or name in fields or not self.takes_more():
                raise TypeError('a field that it does not take')
            arguments[name] = more[name]
        value = self.call(arguments)
        getattr(value, self.CHOSEN).intersection_update(names_of(chosen))
        return value


class OldModel(Model):
    """That of pydantic before version 2."""
    CHOSEN = '__fields_set__'  # type: str

    def fields(self):
        # type: () -> Any
        return self.kind.__fields__

    def more(self, value):
        # type: (Any) -> Any
        fields = self.fields()
        return dict([(name, value.__dict__[name]) for name in value.__dict__ if name not in fields])

    def private(self, value):
        # type: (Any) -> Any
        names = self.kind.__private_attributes__
        return dict([(name, getattr(value, name)) for name in names if hasattr(value, name)])

    def takes_more(self):
        # type: () -> bool
        return getattr(self.kind.__config__.extra, 'value', None) == 'allow'

    def argument(self, name):
        # type: (str) -> Any
        if self.kind.__config__.allow_population_by_field_name:
            return name
        return self.fields()[name].alias

    def call(self, arguments):
        # type: (Any) -> Any
        return self.kind(**arguments)


def names_of(found):
    # type: (Any) -> list[Any]
    for name in found:
        if not isinstance(name, TEXTS):
            raise TypeError('a field whose name is no text')
    return [native(name) for name in found]
