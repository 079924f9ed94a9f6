"""
The path of a package that was sent: who goes through it finds names, and no folder.

Comes when the child has settled down.  Used once the application imports ``pkgutil``, which
lists what is in paths; until then the path of such a package is empty.  Any thread may enter.

Invariants:

* The path of a package that was sent names no folder here: nothing is looked for in one.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.interfaces import Loading

import sys

from econtext.core.importer import Importer

PREFIX = 'econtext:'


class Place(object):
    """Finds nothing, for the importer was asked before; tells ``pkgutil`` what there is."""

    def __init__(self, path):
        # type: (str) -> None
        """One of ``sys.path_hooks``."""
        if path[:len(PREFIX)] != PREFIX:
            raise ImportError(path)
        self.package = path[len(PREFIX):]  # type: str

    def find_spec(self, name, target=None):
        # type: (str, Any) -> None
        """Python 3.4 and newer."""

    def find_module(self, name, path=None):
        # type: (str, Any) -> None
        """Python before that."""

    def iter_modules(self, prefix=''):
        # type: (str) -> Any
        """Yield (name, whether it is a package), as ``pkgutil`` wants it."""
        from econtext.child import resources
        return resources.iter_modules(None, self.package, prefix)


class Folders(object):
    """Gives packages their paths."""

    def fill(self, module):
        # type: (Any) -> None
        """Name the place of a package in its path."""
        if getattr(module, '__path__', None) == []:
            module.__path__.append(PREFIX + module.__name__)


def furnish(loader, module):
    # type: (Loading, Any) -> None
    """`module` was imported just now: have it find what was sent, by `loader`."""
    if module.__name__ == 'pkgutil':
        install(loader)
    elif sys.version_info[:2] == (3, 9):
        mend(module)


def install(loader):
    # type: (Loading) -> None
    if Place not in sys.path_hooks:
        sys.path_hooks.insert(0, Place)
    folders = loader.folders = Folders()
    for module in list(sys.modules.values()):
        if isinstance(getattr(module, '__loader__', None), Importer):
            folders.fill(module)


def mend(module):
    # type: (Any) -> None
    """Have ``importlib._common`` of Python 3.9 ask the loader, as all others do."""
    from_package = module.from_package

    def files(package):
        # type: (Any) -> Any
        spec = package.__spec__
        read = getattr(spec.loader, 'get_resource_reader', None)
        if read and isinstance(spec.loader, Importer):
            return read(spec.name).files()
        return from_package(package)
    module.from_package = files
