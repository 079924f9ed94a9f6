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


def echo_once(channel, seconds):
    for value in channel:
        time.sleep(seconds)
        channel.send(value)
        return
