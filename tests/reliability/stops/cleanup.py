"""Cleanup that takes a while, each in its own place; each writes `done` behind dots, or what came in between."""
import atexit
import os
import signal
import sys
import threading
import time
try:
    from _thread import get_ident
except ImportError:
    from thread import get_ident

DOTS = 15       # of 10 ms each


def have_time():
    """
    Give what ends with this context minutes, also on a loaded machine.

    Nothing of econtext is to come in between: neither a signal nor an exception.
    """
    from econtext.child import life
    life.GRACE = 600.0


def clean(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for _ in range(DOTS):
            time.sleep(0.01)
            os.write(fd, '.'.encode())
        os.write(fd, 'done'.encode())
    except:
        os.write(fd, repr(sys.exc_info()[1]).encode())


def at_exit(path):
    """The context is idle when its end comes."""
    have_time()
    atexit.register(clean, path)


def two_at_exit(path):
    have_time()
    atexit.register(os.rename, path + '.new', path)
    atexit.register(clean, path + '.new')


def in_finally(path):
    try:
        tell()
        time.sleep(900)
    finally:
        clean(path)


def in_finally_of_a_computation(path):
    try:
        tell()
        while 1:
            pass
    finally:
        clean(path)


def nested(path):
    """Cleanup has cleanup of its own."""
    try:
        try:
            tell()
            time.sleep(900)
        finally:
            clean(path + '.new')
    finally:
        os.rename(path + '.new', path)


def call_away(number, frame):
    """What a program has for SIGTERM that wants its cleanup to run."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(1)


def clean_up_in_fork(path):
    """Be a forked process that cleans up when SIGTERM comes, as it does in any program."""
    try:
        try:
            signal.signal(signal.SIGTERM, call_away)
            tell()
            while 1:
                # No long sleep: Python hears of no signal that comes in the moment before it.
                time.sleep(0.01)
        finally:
            clean(path)
    finally:
        os._exit(0)


def forked(path):
    """A forked process cleans up, and its parent does not wait for it."""
    have_time()
    if not os.fork():
        clean_up_in_fork(path)


def forked_and_waited_for(path):
    have_time()
    pid = os.fork()
    if pid:
        try:
            os.waitpid(pid, 0)
        finally:
            try:
                os.waitpid(pid, 0)
            except OSError:
                pass
        return
    clean_up_in_fork(path)


def in_thread(path):
    """A thread that is no daemon: Python waits for it where a program ends."""
    have_time()
    def work():
        while not threading.main_over.is_set():
            threading.main_over.wait(0.01)
        clean(path)

    threading.main_over = threading.Event()
    atexit.register(threading.main_over.set)
    thread = threading.Thread(target=work)
    thread.daemon = True
    thread.start()
    atexit.register(thread.join)
    atexit.register(threading.main_over.set)


def in_plain_thread(path):
    have_time()
    threading.Thread(target=clean, args=(path,)).start()
    tell()


SHELL = '''trap 'for i in 1 2 3; do sleep 0.05; printf . >> %s; done; printf done >> %s; exit' TERM
echo busy; while :; do sleep 0.02; done'''


def program(path):
    """A program of the context's, in the background."""
    have_time()
    os.system('sh -c "%s" &' % (SHELL % (path, path)))


def program_in_front(path):
    have_time()
    os.system(SHELL % (path, path))


def tell():
    have_time()
    sys.stdout.write('busy\n')
    sys.stdout.flush()


def without_end(path):
    """Its cleanup takes all the time there is."""
    try:
        sys.stdout.write('busy\n')
        sys.stdout.flush()
        time.sleep(900)
    finally:
        while 1:
            time.sleep(0.01)


def slow_to_stop(path):
    """Interrupted, it cleans up for longer than its grace."""
    in_finally(path)


# A lock that a signal follows as soon as this thread has it.
STRUCK = '''
class Struck(object):
    def __init__(self, lock):
        self.lock = lock
        self.thread = get_ident()

    def acquire(self):
        self.lock.acquire()
        if self.thread == get_ident():
            self.thread = None
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):
                pass

    def release(self):
        self.lock.release()
'''


def with_a_lock_in_hand(channel, path):
    """Wait for a value; the signal comes where econtext has the lock of its loop."""
    loop = channel.home.loop
    tell()
    ours = {'__name__': 'econtext.core.loop', 'os': os, 'signal': signal, 'get_ident': get_ident}
    exec(STRUCK, ours)
    loop.lock = ours['Struck'](loop.lock)
    try:
        for _ in channel:
            pass
    finally:
        clean(path)


def interrupted_as_it_ends(channel, path):
    """The signal that ends the context comes between the request to interrupt this call and its signal."""
    have_time()
    from econtext.child import interruption
    supervisor = channel.home.supervisor
    supervisor.aim = interruption.Aim(supervisor)
    supervisor.aim.calls.update(dict.fromkeys(supervisor.running, True))
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(900)
    finally:
        os.kill(os.getpid(), signal.SIGURG)
        clean(path)


def unheard_at_first(channel, path):
    """The first signal is lost, as one that comes in the moment before Python waits in the kernel."""
    import ctypes
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.signal.restype = ctypes.c_void_p
    ignore = 1
    handler = libc.signal(signal.SIGTERM, ignore)

    def hear():
        while not channel.home.supervisor.ended:
            time.sleep(0.001)
        time.sleep(0.1)
        libc.signal(signal.SIGTERM, handler)

    thread = threading.Thread(target=hear)
    thread.daemon = True
    thread.start()
    in_finally(path)


def over_an_iterator(path):
    """What is iterated over waits in the system, and no function of the application runs meanwhile."""
    atexit.register(clean, path)
    reading, _writing = os.pipe()
    tell()
    return os.fdopen(reading)


def have_patience(seconds):
    """Wait for those below us for so long, where they do not end by themselves."""
    from econtext.parent import nursery
    nursery.HURRY = seconds


def without_threads(path):
    """No thread is to be had any more: the main one ends the context."""
    import resource
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    try:
        tell()
        time.sleep(900)
    finally:
        clean(path)
