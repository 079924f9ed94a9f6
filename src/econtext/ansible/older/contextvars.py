"""
``contextvars``, which came with Python 3.7: variables of a thread.

Invariants:

* A variable has one value in each thread; what `set` returned brings the former one back.

Any thread may enter.
"""
import threading

MISSING = object()


class Token(object):
    MISSING = MISSING

    def __init__(self, var, old_value):
        self.var, self.old_value = var, old_value


class ContextVar(object):
    def __init__(self, name, *, default=MISSING):
        self.name, self._default, self._values = name, default, threading.local()

    def get(self, default=MISSING):
        for value in (getattr(self._values, 'value', MISSING), default, self._default):
            if value is not MISSING:
                return value
        raise LookupError(self)

    def set(self, value):
        token = Token(self, getattr(self._values, 'value', MISSING))
        self._values.value = value
        return token

    def reset(self, token):
        self._values.value = token.old_value
