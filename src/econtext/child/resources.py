"""
The seldom used half of the importer: sources for tracebacks, files, lists and metadata of packages.

Fetched when the first of these is asked for.

Invariants:

* The controller is asked for a list, and for metadata, at most once.
* A package that is installed here has its metadata here.
* Nothing is written to this machine but what ``importlib.resources`` itself puts there.

Entered by whichever thread asks.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from econtext.child.interfaces import Home

import marshal
import os
import sys

from econtext.core.codec import Text, encode, native
from econtext.core.importer import Importer
from econtext.core.loop import Waiter
from econtext.core.wire import RESULT, WANT

LISTS = {}  # type: dict[tuple[str, str], Any]
METADATA = {}  # type: dict[str, list[dict[str, str]]]


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
    found = []
    # Others may import meanwhile.
    for name, unit in list(importer.units.items()):
        folder = unit and os.path.dirname(unit[1]) + os.sep
        if unit and unit[0] is not False and os.sep in unit[1] and path.startswith(folder):
            found.append((len(folder), name))
    # The innermost package first, which is the one as a rule.
    for length, name in sorted(found)[::-1]:
        data = ask(importer, name, path[length:].replace(os.sep, '/'))
        if data is not None:
            return data
    raise IOError(2, 'No such file beside the modules sent here', path)


def ask(importer, package, resource):
    # type: (Any, str, str) -> Any
    """Have the controller send a file, or what else goes by such a name; None if it sends nothing."""
    for finder in sys.meta_path:
        if isinstance(finder, Importer) and hasattr(finder, 'home'):
            # In a copy of a context it is another one than what loaded the package.
            importer = finder
    if importer.cut_off:
        return None
    home = importer.home  # type: Home
    waiter = Waiter(home.loop)
    home.router.ask(WANT, 0, encode((package, resource)), waiter.settle)
    home.loop.wait(waiter)
    if waiter.kind == RESULT and waiter.body:
        return waiter.body[1:]


# -- lists ---------------------------------------------------------------------


def entries(importer, package, folder):
    # type: (Importer, str, str) -> Any
    """Return [(kind, name), ...] of a folder of `package`, None if there is none."""
    key = package, folder
    if key not in LISTS:
        body = ask(importer, package, folder + '/')
        LISTS[key] = body and [(native(kind), native(name)) for kind, name in marshal.loads(body)]
    return LISTS[key]


def iter_modules(importer, package, prefix):
    # type: (Any, str, str) -> Any
    """Yield (name, whether it is a package) of the modules in `package`."""
    for kind, name in entries(importer, package, '') or ():
        if kind in 'mp':
            yield prefix + name, kind == 'p'


class Reader(object):
    """What ``importlib.resources`` asks for the files of a package, in each of its generations."""

    def __init__(self, importer, package):
        # type: (Importer, str) -> None
        self.root = Resource(importer, package, [])  # type: Resource

    def files(self):
        # type: () -> Resource
        return self.root

    def open_resource(self, resource):
        # type: (str) -> Any
        return self.root.joinpath(resource).open('rb')

    def resource_path(self, resource):
        # type: (str) -> str
        """There is none: whoever asked makes a file of what open_resource() gives."""
        raise IOError(2, 'It is at no place here', resource)

    def is_resource(self, name):
        # type: (str) -> bool
        return self.root.joinpath(name).is_file()

    def contents(self):
        # type: () -> Any
        return iter([found.name for found in self.root.iterdir()])


class Resource(object):
    """A file or folder of a package: what ``importlib.resources.abc`` calls a Traversable."""

    def __init__(self, importer, package, parts):
        # type: (Importer, str, list[str]) -> None
        self.importer = importer
        self.package = package
        self.parts = parts

    def listed(self, parts):
        # type: (list[str]) -> Any
        return entries(self.importer, self.package, '/'.join(parts))

    def is_kind(self, kind):
        # type: (str) -> bool
        return (kind, self.parts[-1]) in (self.listed(self.parts[:-1]) or ())

    def is_dir(self):
        # type: () -> bool
        return not self.parts or self.is_kind('d')

    def is_file(self):
        # type: () -> bool
        return bool(self.parts) and self.is_kind('f')

    def exists(self):
        # type: () -> bool
        return self.is_dir() or self.is_file()

    def iterdir(self):
        # type: () -> Any
        found = self.listed(self.parts)
        if found is None:
            raise OSError(20, 'Not a folder of what was sent here', str(self))
        return iter([
            Resource(self.importer, self.package, self.parts + [name]) for kind, name in found if kind in 'df'])

    def joinpath(self, *descendants):
        # type: (Any) -> Resource
        parts = list(self.parts)
        for descendant in descendants:
            parts.extend([part for part in str(descendant).split('/') if part not in ('', '.')])
        return Resource(self.importer, self.package, parts)

    def __truediv__(self, other):
        # type: (Any) -> Resource
        return self.joinpath(other)

    def read_bytes(self):
        # type: () -> bytes
        data = None
        if self.parts:
            data = ask(self.importer, self.package, '/'.join(self.parts))
        if data is None:
            raise IOError(2, 'No such file in what was sent here', str(self))
        return data

    def read_text(self, encoding=None, errors=None):
        # type: (Any, Any) -> Any
        return self.open('r', encoding, errors).read()

    def open(self, mode='r', *args, **options):
        # type: (str, Any, Any) -> Any
        if 'w' in mode or 'a' in mode or '+' in mode:
            raise ValueError('what was sent here can only be read')
        io = __import__('io')  # type: Any
        file = io.BytesIO(self.read_bytes())
        if 'b' in mode:
            return file
        return io.TextIOWrapper(file, *args, **options)

    def get_name(self):
        # type: () -> str
        return (self.parts or [self.package[self.package.rfind('.') + 1:]])[-1]

    name = property(get_name)  # type: property

    def __str__(self):
        # type: () -> str
        return '/'.join([self.package.replace('.', '/')] + self.parts)

    def __repr__(self):
        # type: () -> str
        return '<%s of econtext>' % self

    def __eq__(self, other):
        # type: (Any) -> bool
        return isinstance(other, Resource) and str(self) == str(other)

    def __hash__(self):
        # type: () -> int
        return hash(str(self))


def get_resource_reader(importer, name):
    # type: (Importer, str) -> Any
    if is_package(importer, name):
        return Reader(importer, name)
    return None


# -- metadata ------------------------------------------------------------------


def find_distributions(importer, context=None):
    # type: (Importer, Any) -> Any
    """Return the distributions that have to do with packages that were sent; by name, or all."""
    project = getattr(context, 'name', None) or ''
    tops = {}
    for name, unit in list(importer.units.items()):
        if unit:
            tops[name.split('.')[0].lower()] = True
    if project and project.lower().replace('-', '_').replace('.', '_') not in tops and is_here(context):
        return iter([])
    if project not in METADATA:
        body = ask(importer, project + '.dist-info', '/')
        METADATA[project] = body and marshal.loads(body) or []
    return iter([made_of(files) for files in METADATA[project]])


def is_here(context):
    # type: (Any) -> bool
    """Is there a distribution of that name on this machine?"""
    for finder in sys.meta_path:
        find = not isinstance(finder, Importer) and getattr(finder, 'find_distributions', None)
        if find and list(find(context)):
            return True
    return False


def made_of(files):
    # type: (dict[str, str]) -> Any
    """Return the distribution with these files of metadata."""
    metadata = __import__('importlib.metadata', {}, {}, ['Distribution'])  # type: Any

    class Sent(metadata.Distribution):  # type: ignore[misc]
        def read_text(self, filename):
            # type: (Any) -> Any
            return files.get(str(filename))

        def locate_file(self, path):
            # type: (Any) -> Any
            raise IOError(2, 'It is at no place here: its package was sent', str(path))
    return Sent()


METHODS = {'get_source': get_source, 'get_data': get_data,
           'is_package': is_package, 'get_filename': get_filename,
           'get_resource_reader': get_resource_reader, 'find_distributions': find_distributions,
           }  # type: dict[str, Callable[..., Any]]


def bind(importer, name):
    # type: (Importer, str) -> Any
    """Return method `name` of `importer`, or raise AttributeError."""
    if name not in METHODS:
        raise AttributeError(name)
    return lambda *args: METHODS[name](importer, *args)
