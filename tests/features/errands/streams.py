"""The far ends of channels."""
import sys
import threading
import time


def tail_log_file(channel, path):
    """As the seed has it."""
    fp = open(path)
    try:
        while channel.open():
            data = fp.read()
            if data:
                channel.send(data)
            else:
                time.sleep(0.01)
                fp.seek(fp.tell())
    finally:
        fp.close()


def count(channel, number):
    for i in range(number):
        channel.send(i)


def count_and_close(channel, number):
    count(channel, number)
    channel.close()
    return 'closed'


def count_and_fail(channel, number):
    count(channel, number)
    raise ValueError('after %d' % number)


def echo(channel):
    seen = 0
    for value in channel:
        channel.send(value)
        seen += 1
    return seen


def total(channel):
    return sum(channel)


def pour(channel, size, number):
    """Send until it is told to stop; say how often it could."""
    sent = 0
    while sent < number and channel.open():
        try:
            channel.send(''.encode().ljust(size, 'x'.encode()))
        except Exception:
            if channel.open():
                raise
            break
        sent += 1
    return sent


def send_closed(channel):
    channel.close()
    try:
        channel.send('too late')
    except Exception:
        return str(sys.exc_info()[1])


def greet(channels, name):
    for channel in channels:
        channel.send('hello from ' + name)
        channel.close()


def many_values(channel, values):
    for value in values:
        channel.send(value)


def hold(channel):
    """Say that it runs, and wait for the other end."""
    channel.send('here')
    for _ in channel:
        pass


# Functions that keep what they were handed.

KEPT = []
GO = threading.Event()


def retry(channel, times):
    """As everybody writes it: error, traceback, frame and channel are a cycle."""
    last = None
    for attempt in range(times):
        try:
            channel.send(attempt)
            raise ValueError('attempt %d' % attempt)
        except ValueError:
            last = sys.exc_info()[1]
            keep = sys.exc_info()[2]
            last.trace = keep
    raise last


def in_a_global(channel):
    KEPT.append(channel)
    channel.send(1)


def in_a_cycle(channel, fails=False):
    class Node(object):
        pass
    node = Node()
    node.me, node.channel = node, channel
    channel.send(1)
    if fails:
        raise ValueError('it was to fail')


def in_a_holder(holder):
    """A dict of lists of channels."""
    for channels in holder.values():
        for channel in channels:
            in_a_cycle(channel)


def in_a_generator(channel):
    KEPT.append(channel)
    channel.send(1)
    yield 'one'
    yield 'two'


def through_another(channel):
    """Take a channel from a channel, or leave it there."""
    for inner in channel:
        KEPT.append(inner)
        inner.send('inner')
        break
    channel.send('outer')


def never_reads(channel):
    KEPT.append(channel)


def by_a_thread(channel, keep):
    """Return, and leave a thread that sends what the program asks for."""
    if keep:
        assert channel.keep() is channel

    def go_on():
        try:
            for number in channel:
                channel.send(number + 1)
        finally:
            GO.set()
    GO.clear()
    thread = threading.Thread(target=go_on)
    # So also on Python 2.4.
    thread.setDaemon(True)
    thread.start()
    return 'returned'


def send_late(channel):
    """What a thread hears that goes on after the call."""
    KEPT.append(channel)


def use_what_was_kept():
    GO.wait(60)
    channel = KEPT.pop()
    for method in lambda: channel.send('late'), channel.keep:
        try:
            method()
        except Exception:
            yield str(sys.exc_info()[1])


def keep_and_forget(channel):
    channel.keep()
    channel.send('kept')


def wait_for_file(channel, path):
    import os
    while not os.path.exists(path):
        time.sleep(0.01)
    channel.send('it is there')


def hand_on(below, channel):
    try:
        below.call(hold, channel)
    except TypeError:
        return str(sys.exc_info()[1])


def large_and_keep(channel, size, number):
    KEPT.append(channel)
    for _ in range(number):
        channel.send(''.encode().ljust(size, 'x'.encode()))
