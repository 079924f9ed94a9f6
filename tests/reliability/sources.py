"""What streams are made of."""
import os
import time


def count(number):
    i = 0
    while i < number:
        yield i
        i += 1


def count_and_fail(number):
    i = 0
    while i < number:
        yield i
        i += 1
    raise ValueError('after %d' % number)


def note(path):
    file = open(path, 'w')  # noqa: SIM115 -- Python 2.4 has no with
    file.write('ended')
    file.close()


def for_ever(path):
    i = 0
    try:
        while 1:
            yield i
            i += 1
    finally:
        note(path)


def then_wait(path):
    try:
        yield 'one'
        time.sleep(1000)
    finally:
        note(path)


def cleaned_by_a_program(path):
    """Yield for ever; clean up slowly, by a program."""
    try:
        while 1:
            yield 'one'
    finally:
        time.sleep(0.3)
        if os.system('sleep 0.3') == 0:
            note(path)


def then_resist(path):
    """Yield, and then heed nothing."""
    yield 'one'
    while 1:
        try:
            time.sleep(1000)
        except BaseException:
            note(path)


def large(size, number):
    for _ in range(number):
        yield b'x' * size
