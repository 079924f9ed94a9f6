"""What programs do that nobody who writes a library would."""
import gc
import logging
import os
import signal
import sys
import time

KEPT = []


class Text(str):
    def __repr__(self):
        raise RuntimeError('not to be shown')


class Shy(Exception):
    @property
    def args(self):
        raise RuntimeError('no arguments')


class Nameless(EnvironmentError):
    @property
    def errno(self):
        raise RuntimeError('no number')


def fail(name):
    raise {
        'number': lambda: ValueError(10 ** 5000), 'text': lambda: ValueError(Text('x')),
        'arguments': Shy, 'errno': lambda: Nameless(1, 'x')}[name]()


class Plain(object):
    def __del__(self):
        logging.getLogger('nuisance').warning('unclosed')


def litter():
    """Leave what is collected as garbage, at some later time, and then logs."""
    knot = [Plain()]
    knot.append(knot)


def litter_and_send(channel, number, size):
    if hasattr(gc, 'set_threshold'):
        gc.set_threshold(1, 10, 10)
    data = 'z' * size
    for _ in range(number):
        litter()
        channel.send(data)
    channel.close()
    gc.collect()


def log_by_signal(number):
    """From now on log so much whenever SIGUSR1 comes."""
    def handler(*event):
        for _ in range(number):
            logging.getLogger('nuisance').warning('y' * 1000)
    signal.signal(signal.SIGUSR1, handler)
    return os.getpid()


def raise_by_signal():
    """As a time limit does that was not lifted."""
    def handler(*event):
        raise ValueError('a stale alarm')
    signal.signal(signal.SIGUSR1, handler)
    return os.getpid()


def use_up_descriptors():
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    # Another thread leads, by then.
    time.sleep(0.1)
    try:
        while 1:
            KEPT.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass


def free_descriptors():
    while KEPT:
        os.close(KEPT.pop())


def use_up_threads():
    """Have the kernel refuse threads; not to be root is needed for that."""
    import resource
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    return os.getpid()


def use_up_threads_and_sleep(seconds):
    use_up_threads()
    sys.stdout.write('asleep\n')
    sys.stdout.flush()
    time.sleep(seconds)


def keep(channel):
    KEPT.append(channel)


def send_one(channel, value):
    channel.send(value)


def send_on_kept(value):
    KEPT[0].send(value)


class AsksAll(object):
    """A finder that hands on to all others, as some import hooks do."""

    def find_spec(self, name, path=None, target=None):
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, 'find_spec'):
                spec = finder.find_spec(name, path, target)
                if spec:
                    return spec
        return None


def ask_all(at):
    sys.meta_path.insert(at, AsksAll())
    import colorsys
    try:
        __import__('no_such_module_at_all')
    except ImportError:
        return colorsys.__name__


def fork_a_terminal():
    """Return what a function prints in a forked process with a terminal of its own, and then fails."""
    pid, fd = os.forkpty()
    if not pid:
        raise ValueError('in the forked process')
    os.waitpid(pid, 0)
    os.close(fd)
    return 'in the context'
