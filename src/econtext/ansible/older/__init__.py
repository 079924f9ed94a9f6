"""
What Python 3.6 lacks of the standard library, for modules of Ansible that `econtext.ansible.downlevel` made older.

Invariants:

* These modules run in the processes of Ansible's modules, as ``ansible.module_utils.econtext_older``, on Python 3.6.
* A module of the standard library is never changed: a source that needs more than Python 3.6 has imports from here.

Any thread may enter.
"""
import sys


class Alias(object):
    """A type with arguments, such as list[str], where types have no arguments yet."""

    def __init__(self, origin, args):
        self.__origin__, self.__args__ = origin, args

    def __call__(self, *args, **options):
        return self.__origin__(*args, **options)

    def __eq__(self, other):
        return (isinstance(other, Alias)
                and (self.__origin__, self.__args__) == (other.__origin__, other.__args__))

    def __hash__(self):
        return hash((self.__origin__, self.__args__))


def alias(origin, *args):
    """Return ORIGIN[ARGS]."""
    return Alias(origin, args)


def attributes(name):
    """Have the module called `name` ask its function __getattr__ for attributes that it does not have."""
    module = sys.modules.get(name)
    if module is None or '__getattr__' not in vars(module):
        return

    class Asking(type(module)):
        def __getattr__(self, attribute):
            return vars(self)['__getattr__'](attribute)

    module.__class__ = Asking


def removeprefix(value, prefix):
    if hasattr(value, 'removeprefix'):
        return value.removeprefix(prefix)
    return value[len(prefix):] if value.startswith(prefix) else value[:]


def removesuffix(value, suffix):
    if hasattr(value, 'removesuffix'):
        return value.removesuffix(suffix)
    return value[:len(value) - len(suffix)] if value.endswith(suffix) else value[:]
