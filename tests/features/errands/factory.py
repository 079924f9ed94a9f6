"""Makes functions that no name leads to."""
import threading

KEPT = []
LOCK = threading.Lock()


def echo(value=None):
    return value


def maker(number):
    def function(other):
        KEPT.append(other)
        return number, other, __name__, len(KEPT)
    return function


def locked():
    return lambda: LOCK.acquire(0) and (LOCK.release() or 'locked')
