"""The far ends of channels."""
import sys
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
