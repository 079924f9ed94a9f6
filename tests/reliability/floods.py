"""More output than anybody wants."""
import gc
import logging
import os
import subprocess
import sys
import threading

WORD = 'x' * 60
log = logging.getLogger('errands.floods')


def flood(number):
    for i in range(number):
        sys.stdout.write('%d %s\n' % (i, WORD))
    return number


def flood_by_program(number):
    """The lines of a program, and its status."""
    return subprocess.call(['seq', str(number)])


def flood_of_records(number):
    for i in range(number):
        log.info('%d %s', i, WORD)
    return number


def flood_by_threads(what, number, count):
    threads = [threading.Thread(target=globals()[what], args=(number,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return number * count


def flood_in_the_background(what, number):
    thread = threading.Thread(target=globals()[what], args=(number,))
    thread.setDaemon(True)
    thread.start()


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def answer(text):
    sys.stdout.write(text + '\n')
    return text


def echo(channel):
    for value in channel:
        channel.send(value)


def mixed():
    """Lines of every kind, one after the other, some of them in pieces."""
    for text in 'one\ntw', 'o\n':
        say(text)
        log.info('record of %s', text[0])
    sys.stderr.write('four\n')
    return 'done'


def break_off(text, channel):
    """Print what is no line yet, and die once it was heard: SIGKILL loses what is in the pipe."""
    say(text)
    for _ in channel:
        os.kill(os.getpid(), 9)


def memory():
    """The resident kilobytes of this process."""
    status = open('/proc/self/status')  # noqa: SIM115 -- Python 2.4 has no with
    try:
        return int(status.read().split('VmRSS:')[1].split()[0])
    finally:
        status.close()


def take_too_much():
    """What a hostile context does: send without credit."""
    from econtext.child.flow import Flow
    flow = [each for each in gc.get_objects() if isinstance(each, Flow)][0]  # noqa: RUF015 -- Python 2
    flow.credit.left = 1 << 40
    for _ in range(100):
        os.write(1, ('x' * 1023 + '\n').encode() * 64)
