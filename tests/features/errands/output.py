"""Things to print."""
import os
import subprocess
import sys
import threading


def say(text):
    sys.stdout.write(text)


def both(text):
    sys.stdout.write('out ' + text + '\n')
    sys.stderr.write('err ' + text + '\n')
    return text


def count(number):
    for i in range(number):
        sys.stdout.write('%d\n' % i)


def count_on_both(number):
    for i in range(number):
        sys.stdout.write('o %d\n' % i)
        sys.stderr.write('e %d\n' % i)


def count_raw(number, text):
    """Write lines that are cut anywhere, in pieces of 1000 bytes."""
    data = ''.join(['%d %s\n' % (i, text) for i in range(number)]).encode('utf-8')
    while data:
        data = data[os.write(1, data[:1000]):]


def raw(characters):
    """Return the bytes of the numbers that `characters` have."""
    data = ''.join(characters)
    if sys.version_info[0] > 2:
        data = data.encode('latin-1')
    return data


def rubbish():
    os.write(1, raw([chr(number) for number in range(256)]) * 4 + raw('\n'))
    os.write(2, raw('\xff\xfe\x00\x1b[2J') * 9)


def write(data):
    while data:
        data = data[os.write(1, data):]


def from_thread(text):
    thread = threading.Thread(target=both, args=(text,))
    thread.start()
    thread.join()


def from_fork(text):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.write(1, text.encode() + raw('\n'))
        os._exit(0)
    os.waitpid(pid, 0)


def later(path, text):
    """Have a program print `text` once the file `path` is there, long after this has returned."""
    script = 'while [ ! -e "$0" ]; do sleep 0.02; done; echo "$1"'
    subprocess.Popen(['sh', '-c', script, path, text])


def caught(text):
    """What a program prints into a pipe of ours is no line of the context."""
    program = subprocess.Popen(['echo', text], stdout=subprocess.PIPE)
    return program.communicate()[0].decode().strip()


def close_outputs():
    sys.stdout.close()
    sys.stderr.close()


def close_descriptors():
    os.close(1)
    os.close(2)


class Broken(object):
    def write(self, text):
        raise ValueError('broken')

    def flush(self):
        raise ValueError('broken')


def break_outputs():
    sys.stdout = sys.stderr = Broken()


def print_and_fail(text):
    sys.stdout.write(text)
    raise ValueError('after ' + text)
