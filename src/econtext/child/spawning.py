"""
Processes that ``multiprocessing`` starts anew in a context get what the context was sent.

A process of the start methods ``spawn`` and ``forkserver`` is a new interpreter, or a fork
of one, and has nothing of ours.  What it is told first, its preparation data, is pickled;
so in there goes an object that is unpickled by making the modules importable there.

Invariants:

* Such a process imports what its context had been sent when it was started, and of the
  rest hears why it cannot.  It is no context, and reaches nobody.
* It can start others in the same way.

Sent behind HELLO; imported when ``multiprocessing.spawn`` is.  Python 3.4 and later.  Any thread may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from econtext.child.interfaces import Home

import marshal
import sys
import zlib

from econtext.child import face, forks
from econtext.child.pull import Loader

# Run in the new process, with `preamble`, `units` and `path`.
BOOT = '''
import marshal, sys, zlib
space = {}
text = zlib.decompress(preamble).decode()
exec(text[:text.rindex('m.main')], space)
import econtext.core.importer
importer = econtext.core.importer.Importer()
importer.units.update(marshal.loads(zlib.decompress(units)))
sys.meta_path.insert(0, importer)
import econtext.child.spawning
econtext.child.spawning.arrive(importer, preamble)
'''


Folders = list  # type: type[list[str]]


class Baggage(Folders):  # type: ignore[valid-type,misc]
    """The folders of modules, which take the modules along when they are pickled."""

    def __init__(self, folders, preamble, units):
        # type: (Any, bytes, bytes) -> None
        list.__init__(self, folders)
        self.preamble = preamble
        self.units = units

    def __reduce_ex__(self, protocol):
        # type: (Any) -> Any
        return eval, ('exec(boot, space) or path', {
            'boot': BOOT, 'path': list(self),
            'space': {'preamble': self.preamble, 'units': self.units}})


class Stranger(object):
    """Stands for ``life`` in a process that is no context."""

    def __init__(self, importer, preamble):
        # type: (Any, bytes) -> None
        # Nobody is asked there for what only a home can have.
        self.importer = Loader(importer, self)  # type: Loader  # type: ignore[arg-type]
        self.preamble = preamble


def hook(home, spawn):
    # type: (Home | Stranger, Any) -> None
    """Have what `spawn`, the module, starts get what the context of `home` was sent by then."""
    prepare = spawn.get_preparation_data

    def get_preparation_data(name):
        # type: (Any) -> Any
        data = prepare(name)
        units = dict([(key, unit) for key, unit in list(home.importer.units.items()) if unit])
        data['sys_path'] = Baggage(
            data.get('sys_path', sys.path), home.preamble, zlib.compress(marshal.dumps(units, 2), 1))
        return data
    spawn.get_preparation_data = get_preparation_data


def arrive(importer, preamble):
    # type: (Any, bytes) -> None
    """In the new process: be what a forked process is."""
    sys.dont_write_bytecode = True
    face.furnish(sys.modules['econtext'])
    stranger = Stranger(importer, preamble)
    sys.modules['econtext'].program = face.Context(stranger, 0, 'program')  # type: ignore[attr-defined,arg-type]
    forks.cut_off()
    hook(stranger, sys.modules['multiprocessing.spawn'])
