"""
Carry out Ansible's packed modules, each in a fork of this context.

Such a module is an archive of sources, one of which is the program.  The daemon of a run of Ansible has `run` called in
a fork, see ``separate``, which calls `receive` here before.  With the first run of an archive come the sources that are
not here yet; Ansible's basis is imported once.  In the fork everything that the module imports is found in memory, and
what this context has compiled before is not compiled again.

Invariants:

* A module sees what it sees as a program of its own: its name is ``__main__``, its sources are those of its archive
  alone, and what it does to its process does nothing here.
* What was imported ahead is used only if the archive has the very same sources; else the fork imports its own.
* A module that may start itself again, or that reads files of its archive, gets the archive as a file, which the fork
  removes.  Only one that reads files there is imported from there.
* Sources are kept by their content, so two releases of Ansible may use one context.

Entered by whoever carries out calls; `run` is called in a fork only.  What is imported here is imported under a lock
that each run takes before its fork, so no fork has a half of it.  Ansible's modules need Python 3.8 and more, and 3.6
if the daemon has made them older: elsewhere nothing is called.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from types import CodeType
    from typing import Any

    #: Whether it is a package, its path, the digest of its source.
    Found = tuple[bool, str, bytes]

import os
import sys
import zlib

from econtext.child import packages, renewal, separate, temporary, uncaught
from econtext.core.loop import allocate_lock

OLDEST = 3, 6
REPLACED = -1 << 30  # in place of a status: the path of the interpreter leads to another program than at the start
ROOT = '/ansible_payload.zip'       # where sources are said to come from that are in no file
SITE = 'sitecustomize.py'
LOADER = 'ansible.module_utils._internal._ansiballz._loader'
PROFILES = 'ansible.module_utils._internal._json._profiles._module_legacy_'
BASIS = 'ansible.module_utils.basic', LOADER, PROFILES + 'c2m', PROFILES + 'm2c'
USUAL = 'json', 'runpy', 'tempfile', 'shutil', 'zipfile', 'base64', 'subprocess', 'locale', 'platform', 'datetime'
# Variables that steer Python, but no module: a fork gives its output away at its end, and no context writes bytecode.
HARMLESS = ('PYTHONUNBUFFERED', 'PYTHONDONTWRITEBYTECODE', 'PYTHONSTARTUP', 'PYTHON_HISTORY', 'PYTHON_COLORS',
            'PYTHON_BASIC_REPL')
# With this in its archive, a module may want the archive itself.
STARTS_AGAIN = 'ansible/module_utils/common/respawn.py'
# The same, and files of its archive, which need not be other than sources.
EMBEDS = 'ansible/module_utils/embed.py'

SOURCES = {}    # type: dict[bytes, bytes]      # content of a file, by its digest
CODE = {}       # type: dict[bytes, CodeType]   # of a source that was compiled, by the digest of the source
PAYLOADS = {}   # type: dict[bytes, Payload]    # by the digest of the archive
PRELOADED = {}  # type: dict[str, bytes]        # the digest of the source, by the name of a module that is imported here
PROGRAMS = {}   # type: dict[str, Any]          # what was at the path of an interpreter, when `suits` looked
RECEIVING = allocate_lock()  # type: LockType


@renewal.register
def after_fork():
    # type: () -> None
    global RECEIVING
    RECEIVING = allocate_lock()


class Payload(object):
    """What a packed module consists of: `files` are the digests of its files, by their names in the archive."""

    def __init__(self, files):
        # type: (dict[str, bytes]) -> None
        self.files = files
        self.modules = {}   # type: dict[str, Found]
        for name in files:
            if name.endswith('.py'):
                module = name[:-3].replace('/', '.')
                package = module.endswith('.__init__')
                if package:
                    module = module[:-len('.__init__')]
                self.modules[module] = package, ROOT + '/' + name, files[name]

    def starts_again(self):
        # type: () -> bool
        """May the module start itself again, from its archive?"""
        return STARTS_AGAIN in self.files

    def reads_archive(self):
        # type: () -> bool
        """May the module read files of its archive?"""
        return EMBEDS in self.files or [name for name in self.files if not name.endswith('.py')] != []

    def differs(self):
        # type: () -> bool
        """Has the payload another source for something that was imported here?"""
        for name in PRELOADED:
            if name in self.modules and self.modules[name][2] != PRELOADED[name]:
                return True
        return False


class Finder(object):
    """Finds the modules of a payload in memory, and loads them."""

    def __init__(self, modules):
        # type: (dict[str, Found]) -> None
        self.modules = modules

    def find_spec(self, name, path=None, target=None):
        # type: (str, Any, Any) -> Any
        found = self.modules.get(name)
        if found is None:
            return None
        spec = loaded('importlib.machinery').ModuleSpec(name, self, origin=found[1], is_package=found[0])
        spec.has_location = True
        if found[0]:
            spec.submodule_search_locations = [os.path.dirname(found[1])]
        return spec

    def create_module(self, spec):
        # type: (Any) -> Any
        return None

    def exec_module(self, module):
        # type: (Any) -> None
        exec(self.get_code(module.__name__), module.__dict__)

    def is_package(self, name):
        # type: (str) -> bool
        return self.modules[name][0]

    def get_filename(self, name):
        # type: (str) -> str
        return self.modules[name][1]

    def get_source(self, name):
        # type: (str) -> str
        if name not in self.modules:
            # As any loader that is asked for what it has not, such as `__main__`.
            raise ImportError(name)
        return SOURCES[self.modules[name][2]].decode('utf-8')

    def get_data(self, path):
        # type: (str) -> bytes
        for _, where, digest in self.modules.values():
            if where == path:
                return SOURCES[digest]
        raise OSError(2, 'No such file or directory', path)

    def get_code(self, name):
        # type: (str) -> CodeType
        _, path, digest = self.modules[name]
        code = CODE.get(digest)
        if code is None:
            code = CODE[digest] = compile(SOURCES[digest], path, 'exec', 0, True)
        return code


def suits(interpreter):
    # type: (str) -> tuple[bool, bool]
    """
    Say whether this context is what a program of `interpreter` would be, and whether modules may run in its forks.

    They may not where variables steer Python that the context ignores.
    """
    PROGRAMS[interpreter] = program_at(interpreter)
    steering = [name for name in os.environ if name.startswith('PYTHON') and name not in HARMLESS]
    able = sys.version_info >= OLDEST and not steering
    home = os.path.dirname(os.path.dirname(os.path.abspath(interpreter)))
    prefix = sys.prefix
    if os.path.exists(os.path.join(home, 'pyvenv.cfg')) or prefix != getattr(sys, 'base_prefix', prefix):
        # The path decides to which environment an interpreter belongs.
        return os.path.abspath(interpreter) == os.path.abspath(sys.executable), able
    return os.path.realpath(interpreter) == os.path.realpath(sys.executable), able


def program_at(path):
    # type: (str) -> Any
    """Return what tells one program at a path from another; None if there is none."""
    try:
        found = os.stat(path)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime
    except OSError:
        return None


def add(archive, files, sources):
    # type: (bytes, dict[str, bytes], dict[bytes, bytes]) -> None
    """Keep the `sources`, and of which `files` the archive of that digest consists."""
    for digest in sources:
        SOURCES[digest] = zlib.decompress(sources[digest], -15)
    PAYLOADS[archive] = Payload(files)


def receive(archive, new, *rest):
    # type: (bytes, Any, Any) -> None
    """
    Have here what the run of a module needs; called before its fork.

    `new` is None, or tells of which files the archive consists, digests by names, and the contents that may not be here
    yet, raw deflate data by digests.
    """
    RECEIVING.acquire()
    try:
        if new:
            add(archive, *new)
            preload(archive)
            prepare(PAYLOADS[archive])
    finally:
        RECEIVING.release()


def preload(archive):
    # type: (bytes) -> None
    """Import what nearly every module imports, from the sources of the payload."""
    if PRELOADED:
        return
    modules = PAYLOADS[archive].modules
    finder = Finder(modules)
    sys.meta_path.insert(0, finder)
    try:
        try:
            for name in USUAL:
                __import__(name)
            for name in BASIS:
                if name in modules:
                    __import__(name)
        except:
            # Half of it is worse than nothing.
            forget(modules)
            if not isinstance(sys.exc_info()[1], (Exception, SystemExit)):
                raise
            # As the module itself will fail, and say so.
    finally:
        sys.meta_path.remove(finder)
    for name in modules:
        if name in sys.modules:
            PRELOADED[name] = modules[name][2]
    settle_memory()


def settle_memory():
    # type: () -> None
    """Have the collector leave alone what is there, so that a fork need not copy the pages of that."""
    collector = loaded('gc')
    if hasattr(collector, 'freeze'):
        collector.collect()
        collector.freeze()


def prepare(payload):
    # type: (Payload) -> None
    """Compile what forks would compile, each anew: a module imports nearly all that is in its archive."""
    if payload.reads_archive():
        return
    finder = Finder(payload.modules)
    for name in payload.modules:
        if name not in PRELOADED:
            try:
                finder.get_code(name)
            except Exception:
                # As the module itself will fail, if it imports that.
                pass


def forget(names):
    # type: (Any) -> None
    for name in names:
        sys.modules.pop(name, None)


def run(archive, new, module, params, profile, open_files, variables, interpreter, steps):
    # type: (bytes, Any, str, bytes, str, int, dict[str, str], str, list[tuple[Any, ...]]) -> int
    """
    Carry out the `steps`, and run the payload as the program that it is.  In a fork only, behind `receive`.

    Return the status of the program; if a step failed, so that nothing behind it was done, -1 less how many were;
    REPLACED if another interpreter is to run the program, so that nothing was done.
    """
    if interpreter in PROGRAMS and program_at(interpreter) != PROGRAMS[interpreter]:
        return REPLACED
    if steps:
        done = temporary.carry_out(steps)
        if done < len(steps):
            return -1 - done
    payload = PAYLOADS[archive]
    os.environ.update(variables)
    settle(open_files)
    # An import that fails says what it says in any program: modules print that, and people know it.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != 'econtext.child.forks']
    sys.argv[:] = ['']
    sys.executable = interpreter
    sys.path[:] = [entry for entry in sys.path if entry not in ('', '.')]
    packages.update('HOME' in variables)
    sys.modules['__main__'] = type(sys)('__main__')
    where = ROOT
    if payload.starts_again() or payload.reads_archive():
        where = materialized(payload, module)
    if payload.reads_archive():
        forget(list(PRELOADED))
        sys.path.insert(0, where)
    else:
        if payload.differs():
            forget(list(PRELOADED))
        sys.meta_path.insert(0, Finder(payload.modules))
    try:
        start(module, params, profile, where)
        return 0
    except:
        error = sys.exc_info()
    return uncaught.end(error, sys.__excepthook__)


separate.AHEAD[__name__, run.__name__] = receive


def loaded(name):
    # type: (str) -> Any
    """Return a module, which older Pythons may lack, or of which they lack something."""
    __import__(name)
    return sys.modules[name]


def start(module, params, profile, where):
    # type: (str, bytes, str, str) -> None
    """Do what the payload's own program does behind its preparations."""
    if profile:
        loaded(LOADER).run_module(
            json_params=params, profile=profile, module_fqn=module, modlib_path=where,
            extensions={})
        return
    loaded(BASIS[0])._ANSIBLE_ARGS = params
    loaded('runpy').run_module(module, {'_module_fqn': module, '_modlib_path': where}, '__main__', True)
    raise SystemExit('%s did not end by itself' % module)


def settle(open_files):
    # type: (int) -> None
    """Leave a folder that cannot be read, and set the limit."""
    try:
        os.getcwd()
    except OSError:
        try:
            os.chdir(os.path.expanduser('~'))
        except OSError:
            os.chdir('/')
    if open_files:
        limit_files(open_files)
    loaded('time').tzset()


def limit_files(wanted):
    # type: (int) -> None
    resource = loaded('resource')
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if wanted != soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except ValueError:
            # Some systems tell a limit that they do not allow.
            pass


def materialized(payload, module):
    # type: (Payload, str) -> str
    """Write the archive into a folder that goes with this process; return the path."""
    zipfile = loaded('zipfile')
    name = 'ansible_%s_payload' % module.split('.')[-1]
    folder = os.path.realpath(loaded('tempfile').mkdtemp('', name + '_'))
    loaded('atexit').register(loaded('shutil').rmtree, folder, True)
    path = os.path.join(folder, name + '.zip')
    archive = zipfile.ZipFile(path, 'w')
    try:
        for each in payload.files:
            archive.writestr(zipfile.ZipInfo(each), SOURCES[payload.files[each]])
        # A module that starts itself again finds its archive before an installed Ansible.
        archive.writestr(zipfile.ZipInfo(SITE), 'import sys\nsys.path.insert(0, %r)\n' % path)
    finally:
        archive.close()
    return path
