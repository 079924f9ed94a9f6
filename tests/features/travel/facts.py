"""What a context is: asked by tests, so all in plain values."""

import os
import sys
import threading
import time

COUNT = [0]


def version():
    return sys.version_info[0], sys.version_info[1]


def identity():
    """Return (process, parent, user, name of this module, who loaded it)."""
    return os.getpid(), os.getppid(), os.geteuid(), __name__, globals()['__loader__'].__class__.__module__


def count():
    COUNT[0] += 1
    return COUNT[0]


def in_main_thread():
    current = getattr(threading, 'current_thread', None) or threading.currentThread
    return current().__class__.__name__ == '_MainThread'


def sleep(seconds, value=None):
    time.sleep(seconds)
    return value


def wait_for(path, value=None):
    """Return when there is a file `path`."""
    while not os.path.exists(path):
        time.sleep(0.005)
    return value


def compute_until(path, value=None):
    """The same, never letting go of the processor by itself."""
    while not os.path.exists(path):
        sum(range(1000))
    return value


def loaded(*names):
    return [name for name in names if name in sys.modules]


def module_files(prefix):
    """Return the modules whose names begin with `prefix`, and whether their files exist."""
    found = {}
    for name in sorted(sys.modules):
        if name.split('.')[0] == prefix:
            path = getattr(sys.modules[name], '__file__', None)
            found[name] = bool(path) and os.path.exists(path)
    return found


def loaders(prefix):
    """Return the modules whose names begin with `prefix`, and where their loaders are from."""
    found = {}
    for name in sorted(sys.modules):
        if name.split('.')[0] == prefix and sys.modules[name]:
            loader = getattr(sys.modules[name], '__loader__', None)
            found[name] = loader.__class__.__module__
    return found


def descriptors():
    return sorted(int(name) for name in os.listdir('/proc/self/fd'))


def exit_hard(status):
    os._exit(status)


def read_input():
    return sys.stdin.read(), sys.stdin.readline()


def file_of(name, path):
    """Return the file that the code of a function of module `name` says it is from."""
    __import__(name)
    value = sys.modules[name]
    for part in path.split('.'):
        value = getattr(value, part)
    for method in 'im_func', '__func__':
        value = getattr(value, method, value)
    code = getattr(value, 'func_code', None) or getattr(value, '__code__', None)
    return code.co_filename


def whole_version():
    return sys.version
