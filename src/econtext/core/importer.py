"""
Import from memory the modules that the controller sent.

A *unit* is what it sends for a module: ``(children, path, source)``.
`children` is False for a plain module, the names of its modules for a package, in one
text for a package of ours, or True for a package that could not list them.  `source` is
a tuple of one string where only a code object could be had.  The unit None says that the
controller has none.  Under the name of a module with a ``!`` may be its code, made
ready by the Python whose version stands in the place of the path: for that one alone.
Asking for what was not sent is the affair of ``pull``, whose Loader takes the place
of the importer once there is a ``life``.

Invariants:

* Nothing is written to this machine.
* A module that fails to execute is not left in ``sys.modules``.

Entered by whichever thread imports; ``receive`` by the thread that leads.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import marshal
import sys
import zlib

from econtext.core.codec import native


class Importer(object):
    """Finder and loader: PEP 302 for Python 2.4 to 3.3, PEP 451 from then on."""

    def __init__(self):
        # type: () -> None
        self.units = {}  # type: dict[Any, Any]

    def receive(self, src, handle, body):
        # type: (int, int, bytes) -> None
        """Take in the units that the controller sent."""
        for name, unit in marshal.loads(zlib.decompress(body)):
            self.units[native(name)] = unit

    def find_spec(self, name, path=None, target=None):
        # type: (str, Any, Any) -> Any
        unit = self.units.get(name)
        if unit:
            return type(sys.__spec__)(
                name, self,  # type: ignore[arg-type]
                origin=unit[1], is_package=unit[0] is not False)

    def create_module(self, spec):
        # type: (Any) -> None
        pass

    def exec_module(self, module):
        # type: (Any) -> None
        module.__file__ = native(self.units[module.__name__][1])
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name):
        # type: (str) -> Any
        children, path, source = self.units[name]
        ready = self.units.pop(name + '!', None)
        if ready and ready[1] == sys.version:
            source = ready[2]
        if type(source) is tuple:
            return marshal.loads(source[0])
        return compile(source, native(path), 'exec', 0, 1)  # type: ignore[call-overload]

    def find_module(self, name, path=None):
        # type: (str, Any) -> Any
        if self.units.get(name):
            return self

    def load_module(self, name):
        # type: (str) -> Any
        module = sys.modules.setdefault(name, type(sys)(name))
        module.__loader__ = self
        if self.units[name][0] is not False:
            module.__path__ = []
        try:
            self.exec_module(module)
        except:
            del sys.modules[name]
            raise
        return sys.modules[name]
