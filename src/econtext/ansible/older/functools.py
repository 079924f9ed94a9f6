"""
``functools`` with what came after Python 3.6: cache, cached_property, lru_cache without parentheses.

Invariants:

* Every name of the standard module is here, unless this module replaces it.

Any thread may enter.
"""
import functools
from functools import *  # noqa: F403

WRAPPER_ASSIGNMENTS, WRAPPER_UPDATES = functools.WRAPPER_ASSIGNMENTS, functools.WRAPPER_UPDATES


def lru_cache(maxsize=128, typed=False):
    if callable(maxsize):
        return functools.lru_cache()(maxsize)
    return functools.lru_cache(maxsize, typed)


def cache(function):
    return functools.lru_cache(maxsize=None)(function)


class cached_property(object):
    def __init__(self, function):
        self.function, self.__doc__ = function, function.__doc__

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.function(instance)
        return value


__all__ = [*functools.__all__, 'cache', 'cached_property']
