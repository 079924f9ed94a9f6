"""Functions that take longer than anybody waits."""
import os
import subprocess
import sys
import time

CLEANED = []


def say(text):
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


def sleep():
    try:
        say('busy')
        time.sleep(900)
    finally:
        CLEANED.append('sleep')


def compute():
    try:
        say('busy')
        while 1:
            pass
    finally:
        CLEANED.append('compute')


def system():
    try:
        say('busy')
        os.system('sleep 911 & sleep 912; true')
    finally:
        CLEANED.append('system')


def program():
    try:
        say('busy')
        subprocess.call(['sleep', '913'])
    finally:
        CLEANED.append('program')


def receive(channel):
    try:
        say('busy')
        for _ in channel:
            pass
    finally:
        CLEANED.append('receive')


def wait_for_word(channel):
    say('busy')
    for word in channel:
        return word
    return None


def stubborn():
    say('busy')
    while 1:
        try:
            time.sleep(900)
        except:
            pass


def cleaned():
    """Return what was cleaned up since the last time."""
    found, CLEANED[:] = list(CLEANED), []
    return found


def append(word):
    CLEANED.append(word)


def knows_interrupted():
    import econtext
    return issubclass(econtext.Interrupted, KeyboardInterrupt)


def nap(seconds):
    time.sleep(seconds)
    return 'slept'


def hold():
    """Hold the interpreter lock without end; it takes no part in `finally`."""
    import logging
    import re
    say('busy')
    # What was printed is sent when this returns: later nothing could be.
    logging.getLogger('work').warning('holds the lock')
    re.match('(a+)+$', 'a' * 60 + 'b')


def hold_for(seconds):
    """Hold the interpreter lock for a time, several times."""
    import re
    end = time.time() + seconds
    while time.time() < end:
        re.match('(a+)+$', 'a' * 20 + 'b')


def burn(seconds):
    """Take all of a processor, and give way to other threads."""
    end = time.time() + seconds
    count = 0
    while time.time() < end:
        count += 1
    return count


def ignore_signals():
    import signal
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, RuntimeError, ValueError):
            pass
    sleep()


def block_signals():
    """Have the main thread take no signal at all."""
    import ctypes
    full = (ctypes.c_ubyte * 128)(*[255] * 128)
    ctypes.CDLL(None).sigprocmask(0, full, None)
    os.system('sleep 921 &')
    sleep()


def crowd(seconds):
    """Burn processor time in threads of C code that has let go of the lock."""
    import hashlib
    import threading
    end = time.time() + seconds
    block = 'x'.encode() * (1 << 22)

    def work():
        while time.time() < end:
            hashlib.sha256(block).digest()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 'done'


def timer():
    import signal
    return signal.getitimer(signal.ITIMER_PROF)


def meet(channel):
    try:
        from _thread import get_ident
    except ImportError:
        from thread import get_ident
    channel.send(get_ident())
    for _ in channel:
        break
    return 'met'


def in_main_thread():
    import threading
    current = getattr(threading, 'current_thread', None) or threading.currentThread
    return current().__class__.__name__ == '_MainThread'


def echo(value):
    return value


def bounce(channel):
    for value in channel:
        channel.send(value)


def import_late():
    """Import modules that nobody sent ahead, in four threads at once, each twice."""
    import threading
    found, failed = {}, []

    def work(number):
        try:
            for round in range(2):
                name = 'stops.late%d' % number
                module = __import__(name, None, None, ['NUMBER'])
                found[number, round] = module.NUMBER
        except:
            failed.append(sys.exc_info()[1])
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return [found[number, round] for round in range(2) for number in range(4)]


def fail():
    return 1 // 0


def leave_late(path):
    """From now on a process that leaves the group of this one tells so at `path`, and does it much later."""
    leave = os.setsid

    def late():
        os.symlink('here', path)
        time.sleep(2)
        return leave()
    os.setsid = late
