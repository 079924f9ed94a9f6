"""
Copy a file or a folder to a host or back, of any size, with progress and a checksum of both ends.

    python examples/copy_file.py HERE HOST:THERE
    python examples/copy_file.py HOST:THERE HERE

HOST is `.` for a process on this machine. What is the same already is not sent again.
"""

import sys

import econtext


def show(progress):
    """Show how far it is, where somebody looks."""
    if sys.stderr.isatty():
        percent = 100 * progress.bytes // max(progress.total, 1)
        print(f'\r{percent:3} %  {progress.rate / 1e6:.0f} MB/s  {progress.path}', end='\033[K', file=sys.stderr)


def main(broker, source, target):
    there = target if ':' in target else source
    host, _, path = there.partition(':')
    context = broker.local() if host == '.' else broker.ssh(host)
    if there is target:
        return context.put(source, path, progress=show)
    return context.get(path, target, progress=show)


if __name__ == '__main__':
    if len(sys.argv) != 3 or not any(':' in word for word in sys.argv[1:]):
        sys.exit('usage: copy_file.py HERE HOST:THERE | HOST:THERE HERE')
    with econtext.Broker() as broker:
        try:
            main(broker, *sys.argv[1:])
        except (econtext.EcontextError, OSError) as error:
            sys.exit(f'{type(error).__name__}: {str(error).splitlines()[0]}')
