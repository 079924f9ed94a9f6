"""Forks, as programs do them."""
import os
import sys
import time


def wait_for(pid):
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def statuses():
    """Return with what status forked processes end, by each way there is; one falls off the end."""
    found = []
    pid = os.fork()
    if not pid:
        return 'in the forked process'
    found.append(wait_for(pid))
    pid = os.fork()
    if not pid:
        sys.exit(3)
    found.append(wait_for(pid))
    pid = os.fork()
    if not pid:
        os._exit(5)
    found.append(wait_for(pid))
    pid = os.fork()
    if not pid:
        os.execvp('sh', ['sh', '-c', 'exit 7'])
    found.append(wait_for(pid))
    return found


def refused():
    """Return 0 if a forked process is told why it reaches nobody."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            try:
                __import__('stops.nowhere')
            except ImportError:
                status = 0
            sys.stdout.write('from the fork\n')
            sys.stdout.flush()
        finally:
            os._exit(status)
    return wait_for(pid)


def square(number):
    return number * number


def pool():
    import multiprocessing
    if hasattr(multiprocessing, 'get_context'):
        multiprocessing = multiprocessing.get_context('fork')
    workers = multiprocessing.Pool(2)
    try:
        return workers.map(square, range(4))
    finally:
        workers.terminate()
        workers.join()


def leave():
    """Leave two forked processes behind, the second a daemon."""
    found = [os.getpid()]
    for daemon in False, True:
        pid = os.fork()
        if not pid:
            if daemon:
                os.setsid()
                null = os.open(os.devnull, os.O_RDWR)
                for fd in 0, 1, 2:
                    os.dup2(null, fd)
            time.sleep(900)
            os._exit(0)
        found.append(pid)
    time.sleep(0.1)
    return found
