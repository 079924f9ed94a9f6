"""
Copy a file to a host or back, of any size, with progress and a checksum of both ends.

    python examples/copy_file.py HERE HOST:THERE
    python examples/copy_file.py HOST:THERE HERE

HOST is `.` for a process on this machine.
"""

import hashlib
import os
import sys

import econtext

CHUNK = 1 << 17


def read(path):
    """Yield what is in the file at `path`, piece by piece."""
    file = open(path, 'rb')
    try:
        while True:
            chunk = file.read(CHUNK)
            if not chunk:
                break
            yield chunk
    finally:
        file.close()


def write(chunks, path):
    """Write `chunks`, a channel for one, beside `path`; then put it there. Return the checksum."""
    digest = hashlib.sha256()
    file = open(path + '.part', 'wb')
    try:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
    finally:
        file.close()
    os.rename(path + '.part', path)
    return digest.hexdigest()


def counted(chunks, size, digest):
    """Yield `chunks`, and show how far they are."""
    done = 0
    for chunk in chunks:
        yield chunk
        digest.update(chunk)
        done += len(chunk)
        if sys.stderr.isatty():
            print('\r%3d %%' % (100 * done // max(size, done)), end='', file=sys.stderr)


def put(context, here, there):
    channel = context.channel()
    future = context.submit(write, channel, there)
    digest = hashlib.sha256()
    try:
        for chunk in counted(read(here), os.path.getsize(here), digest):
            channel.send(chunk)
    except econtext.EcontextError:
        pass  # The function there has ended: result() raises why.
    channel.close()
    return future.result() == digest.hexdigest()


def get(context, there, here):
    digest = hashlib.sha256()
    size = context.call(os.path.getsize, there)
    with context.stream(read, there) as chunks:
        copied = write(counted(chunks, size, digest), here)
    return copied == digest.hexdigest()


def main(broker, source, target):
    there = target if ':' in target else source
    host, _, path = there.partition(':')
    context = broker.local() if host == '.' else broker.ssh(host)
    return put(context, source, path) if there is target else get(context, path, target)


if __name__ == '__main__':
    if len(sys.argv) != 3 or not any(':' in word for word in sys.argv[1:]):
        sys.exit('usage: copy_file.py HERE HOST:THERE | HOST:THERE HERE')
    with econtext.Broker() as broker:
        try:
            same = main(broker, *sys.argv[1:])
        except (econtext.EcontextError, OSError) as error:
            sys.exit('%s' % str(error).splitlines()[0])
    sys.exit(0 if same else 'the checksums differ')
