"""Work for fleets: it tells through files what ran, and when."""

import os
import time


def hold(folder):
    """Run until interrupted; leave a file when that has come."""
    name = os.path.join(folder, '%d' % os.getpid())
    try:
        open(name + '.begun', 'w').close()
        while True:
            time.sleep(0.01)
    finally:
        open(name + '.ended', 'w').close()


def all_ended(folder):
    """Have all ended that have begun?"""
    names = os.listdir(folder)
    return not [name for name in names if name.endswith('.begun') and name[:-6] + '.ended' not in names]


def meet(folder, count):
    """Wait until so many of these run, itself included; return how many, or fewer if they do not come."""
    open(os.path.join(folder, '%d.here' % os.getpid()), 'w').close()
    end = time.time() + 60
    here = 0
    while here < count and time.time() < end:
        time.sleep(0.01)
        here = len([name for name in os.listdir(folder) if name.endswith('.here')])
    return here


def overlap(folder, seconds):
    """Return how many of these ran at a time with this one, itself included, at most."""
    name = os.path.join(folder, '%d' % os.getpid())
    open(name, 'w').close()
    most = 0
    end = time.time() + seconds
    while time.time() < end:
        most = max(most, len(os.listdir(folder)))
        time.sleep(0.005)
    os.unlink(name)
    return most


def numbers(count):
    for number in range(count):
        yield number


def endless(folder):
    try:
        number = 0
        while True:
            yield number
            number += 1
    finally:
        open(os.path.join(folder, '%d.ended' % os.getpid()), 'w').close()


def fails_behind(count):
    for number in range(count):
        yield number
    raise ValueError('behind %d' % count)


def leave_once(path):
    """End the context the first time that this runs anywhere."""
    try:
        os.mkdir(path)
    except OSError:
        return os.getpid()
    os._exit(3)


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return os.getpid()


def hold_stream(folder):
    name = os.path.join(folder, '%d' % os.getpid())
    try:
        open(name + '.begun', 'w').close()
        while True:
            time.sleep(0.01)
            if folder is None:
                yield
    finally:
        open(name + '.ended', 'w').close()


def fail_once_begun(folder):
    """Leave a file of this process, and fail."""
    open(os.path.join(folder, '%d.begun' % os.getpid()), 'w').close()
    raise ValueError('a bad version')


def lone_value(folder):
    """Yield a value that the program cannot decode where this runs first, numbers for ever elsewhere."""
    try:
        os.mkdir(os.path.join(folder, 'first'))
    except OSError:
        for each in endless(folder):
            yield each
            time.sleep(0.01)
        return
    import econtext

    class Unknown(object):
        pass

    Unknown.__name__ = Unknown.__qualname__ = 'Unknown'
    globals()['Unknown'] = Unknown
    econtext.register(Unknown, reduce=lambda value: (1,), restore=lambda number: Unknown())
    yield 'before'
    yield Unknown()
    yield 'behind'


def take(data, path):
    """Take `data`, and run until `path` is there."""
    return wait_for(path)
