"""Classes that the program registered, and what stands beside them."""

import enum

import econtext

MADE = []   # the names of those that were made


@econtext.register
class Package:
    def __init__(self, name):
        if not isinstance(name, str) or not 0 < len(name) < 100:
            raise ValueError('no name of a package')
        MADE.append(name)
        self.name = name


class Beside(Package):
    pass


class Wrong(Exception):
    def __str__(self):
        raise KeyError('rude')


@econtext.register
class Rude:
    def __init__(self, word):
        raise Wrong(word)


@econtext.register
class Colour(enum.Enum):
    RED = 1


def take(*args):
    MADE.append(args)
