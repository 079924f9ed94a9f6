"""
Back up a database of a host into a file here: whole, or not at all.

    python examples/backup.py TARGET HOST[/USER] COMMAND [ARGUMENT …]
    python examples/backup.py shop-%Y-%m-%d.sql.gz db1/postgres pg_dump shop

The command writes the copy to its standard output. It runs as USER, by sudo; what it writes comes compressed. In
TARGET the date is filled in. HOST is `.` for a process on this machine.
"""

import os
import subprocess
import sys
import time
import zlib

import econtext


def dump(argv):
    """Yield what a command writes, as a gzip file; raise if the command fails."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    data = process.stdout.read(1 << 18)
    while data:
        yield packer.compress(data)
        data = process.stdout.read(1 << 18)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, argv)
    yield packer.flush()


def main(broker, target, place, argv):
    host, _, user = place.partition('/')
    context = broker.local() if host == '.' else broker.ssh(host)
    if user:
        context = context.sudo(username=user)
    part = target + '.part'
    try:
        with open(part, 'wb') as file, context.stream(dump, argv) as pieces:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, target)
    finally:
        if os.path.exists(part):
            os.remove(part)
    print(f'{target}: {os.path.getsize(target)} bytes')


if __name__ == '__main__':
    if len(sys.argv) < 4:
        sys.exit('usage: backup.py TARGET HOST[/USER] COMMAND [ARGUMENT ...]')
    with econtext.Broker() as broker:
        try:
            main(broker, time.strftime(sys.argv[1]), sys.argv[2], sys.argv[3:])
        except (econtext.EcontextError, OSError) as error:
            sys.exit(str(error).splitlines()[0])
