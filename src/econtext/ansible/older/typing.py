"""
``typing`` with the names that came after Python 3.6: enough for sources that are run, not checked.

Invariants:

* Every name of the standard module is here, unless this module replaces it.
* Classes that derive from Generic or Protocol have no other metaclass for it than ABCMeta.

Any thread may enter.
"""
import abc
import sys
import typing
from typing import *  # noqa: F403

Alias = sys.modules[__name__.rpartition('.')[0]].Alias    # zipimport gives no __package__ to Python 3.6
TYPE_CHECKING = False
NoReturn = getattr(typing, 'NoReturn', None)
ForwardRef = getattr(typing, 'ForwardRef', getattr(typing, '_ForwardRef', str))
SupportsIndex = int
Text = str


class Form(object):
    """A special form: with arguments, it gives an alias."""

    def __init__(self, name):
        self.name = name

    def __getitem__(self, args):
        return Alias(self, args if isinstance(args, tuple) else (args,))

    def __call__(self, *args, **options):
        raise TypeError('typing.%s cannot be called' % self.name)

    def __repr__(self):
        return 'typing.%s' % self.name


Literal, Final, TypeAlias, TypeGuard, Annotated, Self, Never, LiteralString = map(
    Form, 'Literal Final TypeAlias TypeGuard Annotated Self Never LiteralString'.split())
NotRequired, Required, Concatenate, Unpack, ParamSpecArgs, Counter, OrderedDict, Deque, ChainMap = map(
    Form, 'NotRequired Required Concatenate Unpack ParamSpecArgs Counter OrderedDict Deque ChainMap'.split())


class ParamSpec(object):
    def __init__(self, name, **options):
        self.__name__ = name
        self.args = self.kwargs = None


class Generic(object):
    __slots__ = ()


class _Structural(abc.ABCMeta):
    def __instancecheck__(cls, instance):
        if not cls.__dict__.get('_is_runtime'):
            return super().__instancecheck__(instance)
        names = set()
        for base in cls.__mro__[:-1]:
            if isinstance(base, _Structural):
                names.update(base.__dict__.get('__annotations__', ()))
                names.update(name for name in base.__dict__ if not name.startswith('_'))
        return all(hasattr(instance, name) for name in names)


class Protocol(metaclass=_Structural):
    __slots__ = ()


def runtime_checkable(cls):
    cls._is_runtime = True
    return cls


def final(value):
    return value


class _Keys(type):
    def __new__(mcs, name, bases, names, total=True):
        return super().__new__(mcs, name, bases, names)

    def __init__(cls, name, bases, names, total=True):
        super().__init__(name, bases, names)

    def __call__(cls, *args, **options):
        if cls is not TypedDict:
            return dict(*args, **options)
        name, fields = args
        return _Keys(name, (TypedDict,), {'__annotations__': dict(fields)})


class TypedDict(dict, metaclass=_Keys):
    pass


def get_args(value):
    return tuple(getattr(value, '__args__', None) or ())


def get_origin(value):
    origin = getattr(value, '__origin__', None)
    return getattr(origin, '__extra__', None) or origin


def get_type_hints(value, globalns=None, localns=None, include_extras=False):
    """Return the annotations as they are evaluated here; Any for those that Python 3.6 cannot evaluate."""
    found = {}
    for owner in reversed(getattr(value, '__mro__', (value,))):
        names = globalns
        if names is None:
            module = sys.modules.get(getattr(owner, '__module__', None))
            names = getattr(owner, '__globals__', None) or vars(module or typing)
        for name, hint in getattr(owner, '__annotations__', {}).items():
            if isinstance(hint, str):
                try:
                    hint = eval(hint, names, localns)
                except Exception:
                    hint = Any  # noqa: F405
            found[name] = hint
    return found


__all__ = [name for name in [*dir(typing), *list(globals())] if not name.startswith('_') and name in globals()
           and name not in ('abc', 'sys', 'typing', 'Form', 'Alias')]
