"""
The path of a package that was sent: who goes through it finds names, and no folder.

Comes when the child has settled down.  Used once the application imports ``pkgutil``, which
lists what is in paths; until then the path of such a package is empty.

Invariants:

* The path of a package that was sent names no folder here: nothing is looked for in one.
"""
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
        self.package = path[len(PREFIX):]

    def find_spec(self, name, target=None):
        # type: (str, Any) -> None
        """Python 3.4 and newer."""

    def find_module(self, name, path=None):
        # type: (str, Any) -> None
        """Python before that."""

    def iter_modules(self, prefix=''):
        # type: (str) -> Any
        """Yield (name, whether it is a package), as ``pkgutil`` wants it."""
        from econtext.core import resources
        return resources.iter_modules(None, self.package, prefix)


def furnish(module):
    # type: (Any) -> None
    """`module` was imported just now: have it find what was sent."""
    if module.__name__ == 'pkgutil':
        install()
    elif sys.version_info[:2] == (3, 9):
        mend(module)


def install():
    # type: () -> None
    if Place in sys.path_hooks:
        return
    sys.path_hooks.insert(0, Place)
    execute = Importer.exec_module

    def exec_module(importer, module):
        # type: (Importer, Any) -> None
        fill(module)
        execute(importer, module)
    Importer.exec_module = exec_module  # type: ignore[method-assign, assignment]
    for module in list(sys.modules.values()):
        if isinstance(getattr(module, '__loader__', None), Importer):
            fill(module)


def fill(module):
    # type: (Any) -> None
    """Name the place of a package in its path."""
    if getattr(module, '__path__', None) == []:
        module.__path__.append(PREFIX + module.__name__)


def mend(module):
    # type: (Any) -> None
    """Have ``importlib._common`` of Python 3.9 ask the loader, as all others do."""
    from_package = module.from_package

    def files(package):
        # type: (Any) -> Any
        spec = package.__spec__
        if isinstance(spec.loader, Importer):
            return spec.loader.get_resource_reader(spec.name).files()
        return from_package(package)
    module.from_package = files
