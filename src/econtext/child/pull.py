"""
Ask the controller for modules that nobody sent ahead.

A module comes from, in this order:

* what this Python's own standard library holds;
* the program's own code, sent ahead or asked for;
* packages installed here;
* packages installed where the program runs.

A module inside a package comes from where its package came from.

Invariants:

* The controller is asked for a name at most once.
* Nothing is asked for that the standard library here could serve.
* Nobody holds Python's lock of all imports while it sends or waits: PyPy may want
  that one wherever it collects garbage, also in who holds the lock of a link.
* ``logging`` and ``multiprocessing.spawn`` are hooked as soon as they have been imported, and
  imported by nobody but the application.
* What a package that was sent makes by an importer of its own, that one makes here:
  nobody is asked for it.
* Another thread's import of a module that is being executed waits until that is done.

Follows the preamble.  Entered by whichever thread imports.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from econtext.child.interfaces import Folders, Home

import sys
if not hasattr(sys, '__spec__'):
    # Python before 3.4, where find_spec() is not asked for.
    import imp
try:
    from _imp import acquire_lock, lock_held, release_lock
except ImportError:
    # One lock for a whole import, which nobody but the importing thread wants.
    lock_held = bool  # type: ignore[assignment]

from econtext.core.codec import encode
from econtext.core.importer import Importer
from econtext.core.loop import Waiter, get_ident
from econtext.core.wire import RESULT, WANT


# Modules of the standard library that our own code tries to import, and that some
# Pythons lack.  Nobody is asked for them, least of all by who holds a lock or leads.
NEWER = (
    '_thread', '_signal', '_imp', '_frozen_importlib_external', '_collections', 'ctypes',
    'faulthandler', 'hashlib', 'io', 'zoneinfo')


class Loader(Importer):
    """The importer of a context that is furnished, with all that a loader has; of its `home`."""
    # What gives packages their paths, see ``places``.
    folders = None  # type: Folders | None
    # Whether this process reaches nobody, see ``forks``.
    cut_off = False

    def __init__(self, importer, home):
        # type: (Importer, Home) -> None
        """Take the place of `importer`."""
        self.units = importer.units  # type: dict[Any, Any]
        self.home = home
        sys.meta_path[sys.meta_path.index(importer)] = self
        # For who looks for the lines of what was imported by then.
        for name in list(self.units):
            module = sys.modules.get(name)  # type: Any
            if getattr(module, '__loader__', None) is importer:
                module.__loader__ = self
                if hasattr(module, '__spec__'):
                    module.__spec__.loader = self

    def exec_module(self, module):
        # type: (Any) -> None
        if self.folders:
            self.folders.fill(module)
        Importer.exec_module(self, module)

    def __getattr__(self, name):
        # type: (str) -> Any
        # The rest of a loader, such as get_source, is seldom asked for.
        from econtext.child import resources
        return resources.bind(self, name)


class Hooked(object):
    """Loads a module as `loader` does, then calls the hook for it."""

    def __init__(self, loader, hooks):
        # type: (Any, dict[str, Callable[[Any], Any]]) -> None
        self.loader = loader
        self.hooks = hooks

    def exec_module(self, module):
        # type: (Any) -> None
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.hooks.get(module.__name__, bool)(module)

    def __getattr__(self, name):
        # type: (str) -> Any
        return getattr(self.loader, name)


class Pull(object):
    """A finder behind the importer's and before all others."""

    def __init__(self, home, hooks):
        # type: (Home, dict[str, Callable[[Any], Any]]) -> None
        self.home = home
        # Called with modules of these names, once they are there.
        self.hooks = dict(hooks)  # type: dict[str, Callable[[Any], Any]]
        self.hooks.update({'pkgutil': self.furnish, 'importlib._common': self.furnish})
        # (thread, name) that other finders are being asked for.
        self.asking = {}  # type: dict[tuple[int, str], bool]
        # Installed packages lie behind the standard library's own folders.
        self.standard = []  # type: list[str]
        for folder in sys.path:
            if '-packages' in folder:
                break
            self.standard.append(folder)

    def furnish(self, module):
        # type: (Any) -> None
        """`module` was imported just now: have it find what was sent."""
        from econtext.child import places
        places.furnish(self.home.importer, module)

    def is_standard(self, origin):
        # type: (str | None) -> bool
        """Is `origin` a file of the standard library, or no file at all?"""
        if origin is None or '-packages' in origin:
            return False
        for folder in self.standard:
            if '/' not in origin or origin.startswith(folder):
                return True
        return False

    def may_have(self, name, origin):
        # type: (str, str | None) -> bool
        """Shall the controller be asked for `name`, found here at `origin`?"""
        importer = self.home.importer
        if importer.cut_off or name in importer.units or name in NEWER:
            return False
        dot = name.rfind('.')
        if dot < 0:
            return not self.is_standard(origin)
        package = importer.units.get(name[:dot])  # type: Any
        # The modules of ours are one text: for a part of a name the controller has nothing.
        return bool(package) and (
            package[0] is True or bool(package[0]) and name[dot + 1:] in package[0])

    def ask(self, name, here):
        # type: (str, bool) -> None
        """Have the controller send what it has for `name`."""
        waiter = Waiter(self.home.loop)
        depth = let_go()
        try:
            self.home.router.ask(WANT, 0, encode((name, here)), waiter.settle)
            self.home.loop.wait(waiter)
        finally:
            for _ in range(depth):
                acquire_lock()
        if waiter.kind != RESULT:
            raise ImportError('%s: the link to the controller broke' % name)
        self.home.importer.receive(0, 0, waiter.body)

    def find_spec(self, name, path=None, target=None):
        # type: (str, Any, Any) -> Any
        spec = None  # type: Any
        if '.' not in name or name in self.hooks:
            asking = get_ident(), name
            if asking in self.asking:
                # By one of the others, which asks all, as we do.
                return None
            self.asking[asking] = True
            try:
                for finder in sys.meta_path:
                    if not spec and finder is not self and hasattr(finder, 'find_spec'):
                        spec = finder.find_spec(name, path)
                        units = self.home.importer.units
                        ours = finder is self.home.importer  # type: ignore[comparison-overlap]
                        if spec and not ours and units.get(getattr(finder, '__module__', None)):
                            # Of a package that was sent: what it makes, it makes here.
                            return spec
            finally:
                del self.asking[asking]
        if self.may_have(name, spec and (spec.origin or '/')):
            self.ask(name, spec is not None)
        # Also where it came just after the importer had looked.
        spec = self.home.importer.find_spec(name) or spec
        if spec and name in self.hooks:
            spec.loader = Hooked(spec.loader, self.hooks)
        return spec

    def find_module(self, name, path=None):
        # type: (str, Any) -> Any
        """PEP 302, for Python before 3.4."""
        if name in self.hooks:
            if (get_ident(), name) in self.asking:
                return None
            return self
        origin = None
        if '.' not in name:
            try:
                found = imp.find_module(name)
                if found[0]:
                    found[0].close()
                origin = found[1] or ''
            except ImportError:
                pass
        if self.may_have(name, origin):
            self.ask(name, origin is not None)
        return self.home.importer.find_module(name)

    def load_module(self, name):
        # type: (str) -> Any
        """Import one of the hooked modules as others do, then hook it."""
        asking = get_ident(), name
        self.asking[asking] = True
        try:
            module = __import__(name)
        finally:
            del self.asking[asking]
        self.hooks[name](module)
        return module


def let_go():
    # type: () -> int
    """Release Python's lock of all imports; return how often this thread had it."""
    depth = 0
    try:
        while lock_held():
            release_lock()
            depth += 1
    except RuntimeError:
        # It is another thread's.
        pass
    return depth
