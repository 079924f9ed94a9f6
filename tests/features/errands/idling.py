"""Takes as long as it is told; Python 2.4 to 3.15."""
import os
import time


def sleep(seconds):
    time.sleep(seconds)
    return os.getpid()


def count(number, pause):
    for each in range(number):
        time.sleep(pause)
        yield each


def note(path, text):
    folder = open(path, 'a')
    folder.write(text)
    folder.close()


def echo(channel):
    for value in channel:
        channel.send(value)
