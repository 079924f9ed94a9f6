"""
``contextlib`` with what came after Python 3.6: nullcontext.

Invariants:

* Every name of the standard module is here.

Any thread may enter.
"""
import contextlib
from contextlib import *  # noqa: F403


class nullcontext(object):
    def __init__(self, enter_result=None):
        self.enter_result = enter_result

    def __enter__(self):
        return self.enter_result

    def __exit__(self, *error):
        pass


__all__ = [*contextlib.__all__, 'nullcontext']
