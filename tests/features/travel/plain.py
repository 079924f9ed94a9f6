"""Knows nothing of econtext."""


class Foreign(object):
    def __init__(self, what):
        self.what = what


def describe(value):
    return type(value).__name__, value.what
