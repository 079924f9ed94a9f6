"""
The seldom used half of the importer: sources for tracebacks, data of packages.

Fetched when the first of these is asked for.
"""
import os

from econtext.core.codec import Text, encode
from econtext.core.loop import Waiter
from econtext.core.wire import RESULT, WANT


def get_source(importer, name):
    # type: (Importer, str) -> Any
    """Return the text of module `name`, None where only its code was sent."""
    unit = importer.units.get(name)
    if not unit or type(unit[2]) is tuple:
        return None
    if str is Text:
        return unit[2].decode('utf-8', 'replace')
    return unit[2]


def is_package(importer, name):
    # type: (Importer, str) -> bool
    return importer.units[name][0] is not False


def get_filename(importer, name):
    # type: (Importer, str) -> Any
    return importer.units[name][1]


def get_data(importer, path):
    # type: (Importer, str) -> bytes
    """Return the data file that lies at `path` beside a module we loaded."""
    # Others may import meanwhile.
    for name, unit in list(importer.units.items()):
        folder = unit and os.path.dirname(unit[1]) + os.sep
        if unit and unit[0] is not False and path.startswith(folder):
            data = ask(importer.child, name, path[len(folder):])
            if data is not None:
                return data
    raise IOError(2, 'No such file beside the modules sent here', path)


def ask(child, package, resource):
    # type: (Child, str, str) -> Any
    waiter = Waiter(child.loop)
    child.router.ask(WANT, 0, encode((package, resource)), waiter.settle)
    child.loop.wait(waiter)
    if waiter.kind == RESULT and waiter.body:
        return waiter.body[1:]


METHODS = {'get_source': get_source, 'get_data': get_data,
           'is_package': is_package, 'get_filename': get_filename}


def bind(importer, name):
    # type: (Importer, str) -> Any
    """Return method `name` of `importer`, or raise AttributeError."""
    if name not in METHODS:
        raise AttributeError(name)
    return lambda *args: METHODS[name](importer, *args)
