"""Does what the functions that it is handed do; Python 2.4 to 3.15."""
import os


def double(value):
    return 2 * value


class Maker(object):
    made = 0

    def __init__(self, *args):
        self.args = args

    def size(self):
        return len(self.args)

    def fixed(value):
        return value + 1
    fixed = staticmethod(fixed)

    def name(cls):
        return cls.__name__
    name = classmethod(name)


class Kind(Maker):
    pass


def apply(function, *args):
    return function(*args)


def apply_all(table):
    return [(key, table[key][0](table[key][1])) for key in sorted(table)]


def names(functions):
    return [function.__name__ for function in functions]


def is_double(function):
    return function is double


def size_of(maker, method):
    return method(maker(1, 2, 3))


def through(channel):
    for function in channel:
        channel.send(function(3))


def give():
    return double


def ask_back():
    import econtext
    return econtext.program.call(give).__name__


def below(context, function):
    return context.call(apply, function, 4)


def hand_back(function):
    return function


def where():
    return os.path.join
