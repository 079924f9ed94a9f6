"""What imports `threading` late, in whichever thread it runs; nothing here imports it before."""
import atexit
import os


def hold(channel):
    """Keep this thread until a word comes."""
    for word in channel:
        return word
    return None


def import_threading(path):
    import threading
    atexit.register(write, path)
    return len(threading.__name__)


def write(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(fd, 'done'.encode())
    os.close(fd)
