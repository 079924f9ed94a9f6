"""Processes that multiprocessing starts anew, as programs use them there."""
import concurrent.futures
import multiprocessing
import os
import sys


class Shape:
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side ** 2


def area(shape):
    return shape.area()


def late(number):
    """Import what was sent, in the new process."""
    from stops import late0
    return late0.__name__, number


def fail(number):
    raise ValueError('the true reason')


def absent(number):
    import nowhere_at_all
    return nowhere_at_all


def slave(number):
    import econtext
    return econtext.slave, econtext.EcontextError.__name__


def nested(number):
    context = multiprocessing.get_context('spawn')
    queue = context.Queue()
    process = context.Process(target=queue_area, args=(queue, Shape(number)))
    process.start()
    found = queue.get(timeout=60)
    process.join()
    return found


def queue_area(queue, shape):
    queue.put(shape.area())


def pool(method):
    with multiprocessing.get_context(method).Pool(2) as workers:
        found = workers.map_async(area, [Shape(side) for side in range(4)]).get(60)
        others = [workers.apply_async(function, (3,)) for function in (late, slave, fail, absent)]
        for other in others:
            other.wait(60)
            try:
                found.append(other.get(0))
            except Exception:
                found.append('%s: %s' % (sys.exc_info()[0].__name__, sys.exc_info()[1]))
        return found


def default_pool():
    """Whatever the start method is where nobody named one."""
    with multiprocessing.Pool(2) as workers:
        return workers.map_async(area, [Shape(side) for side in range(4)]).get(60)


def executor(method):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as workers:
        found = list(workers.map(area, [Shape(side) for side in range(4)], timeout=60))
        error = workers.submit(fail, 1).exception(60)
        return found + ['%s: %s' % (type(error).__name__, error)]


def deeper(method):
    process = multiprocessing.get_context(method).Process(target=check_nested)
    process.start()
    process.join(60)
    return process.exitcode


def check_nested():
    os._exit(nested(3))


def manager(method):
    with multiprocessing.get_context(method).Manager() as manager:
        shared = manager.dict()
        process = multiprocessing.get_context(method).Process(target=shared.update, args=({'side': 3},))
        process.start()
        process.join(60)
        return dict(shared)


def leave(method):
    """Leave a pool to the end of the context; return the processes of the group."""
    global LEFT
    LEFT = multiprocessing.get_context(method).Pool(1)
    LEFT.apply_async(area, (Shape(2),)).get(60)
    return [int(name) for name in os.listdir('/proc') if name.isdigit() and group_of(int(name)) == os.getpgrp()]


def group_of(pid):
    try:
        return os.getpgid(pid)
    except OSError:
        return None
