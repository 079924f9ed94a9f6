"""Classes of the application that cross, on any Python; and functions that take and return their values."""

import collections

import econtext
from travel import apart

try:
    import enum
except ImportError:
    enum = None
try:
    from functools import wraps
except ImportError:
    def wraps(function):
        return lambda wrapper: wrapper


def listed(function):
    """Decorate `function`: what it returns is in a list."""
    def wrapper(*args, **kwargs):
        return [function(*args, **kwargs)]
    return wraps(function)(wrapper)


@econtext.register
class Package(object):
    """What it takes it keeps, one of them under another name."""

    def __init__(self, name, version='1', needs=()):
        if not name:
            raise ValueError('a package needs a name')
        self.name = name
        self._version = version
        self.needs = needs

    def __eq__(self, other):
        return type(other) is Package and vars(other) == vars(self)

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(self.name)

    def called(self, before, after=''):
        return before + self.name + after

    @listed
    def decorated(self, before):
        return before + self.name

    def each(self):
        for need in self.needs:
            yield need

    def __call__(self, before):
        return before + self.name


@listed
def decorated(first, second=2):
    return first, second


@econtext.register
class Old:
    """Of the old kind, on Python 2."""

    def __init__(self, value):
        self.value = value


@econtext.register
class Slotted(object):
    __slots__ = ('left', 'right')

    def __init__(self, left, right):
        self.left = left
        self.right = right


Point = econtext.register(collections.namedtuple('Point', 'x y'))

if enum:
    @econtext.register
    class Colour(enum.Enum):
        RED = 1
        BLUE = 2


class Derived(Package):
    pass


class Nobody(object):
    def __init__(self, value):
        self.value = value

    def called(self):
        return self.value


class Job(object):
    """A channel within a value."""

    def __init__(self, channel, packages):
        self.channel = channel
        self.packages = packages


econtext.register(Job, reduce=lambda job: (job.channel, job.packages), restore=lambda channel, packages: Job(
    channel, packages))


def echo(*values):
    return values


def kinds(values):
    return ['%s.%s' % (value.__class__.__module__, value.__class__.__name__) for value in values]


def upgrade(package):
    return Package(package.name, package._version + '.1', [package])


def make():
    return {
        'old': Old({'a': Package('a')}), 'slotted': Slotted(1, [Slotted(None, 'x')]), 'point': Point(1, Point(2, 3)),
        'key': {Package('k'): 1}, 'distance': apart.Distance(5),
    }


def colour():
    return Colour.BLUE


def derived():
    return Derived('d')


def refused():
    """Something that its own constructor refuses."""
    package = Package('x')
    package.name = ''
    return package


def grown():
    package = Package('x')
    package.size = 3
    return package


def each(count):
    for number in range(count):
        yield Package('p%d' % number)


def work(job):
    for package in job.packages:
        job.channel.send(upgrade(package))
    for package in job.channel:
        job.channel.send([package.name, kinds([package])])
        break
    job.channel.close()


def ask(package):
    """Call the program with one, and return what it returns."""
    return econtext.program.call(upgrade, package)


def ask_for_what_it_refuses():
    try:
        econtext.program.call(upgrade, refused())
    except ValueError as error:
        return type(error).__name__, str(error)


def call_below(context, package):
    return context.call(upgrade, package)


def annotated():
    """What annotations of channels are here, where they are evaluated."""
    return econtext.Channel[int] is econtext.Channel, econtext.Future[int] is econtext.Future
