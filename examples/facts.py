"""
Gather facts of many hosts, side by side, and print a table; hosts that fail have a line too.

    python examples/facts.py [HOST …]
"""

import os
import platform
import sys

import econtext


def facts():
    """Return what the table shows, on any Python."""
    disk = os.statvfs('/')
    return {
        'system': ' '.join([platform.system(), platform.release()]),
        'python': platform.python_version(),
        'load': '%.2f' % os.getloadavg()[0],
        'free': '%d GB' % (disk.f_bavail * disk.f_frsize // 10**9),
    }


def main(broker, hosts):
    contexts = [broker.ssh(host, connect_timeout=20) for host in hosts] or [broker.local()]
    # Each may take its time; no host waits for another.
    futures = [(context, context.options(timeout=40).submit(facts)) for context in contexts]
    failed = 0
    for context, future in futures:
        try:
            print('%-20s %s' % (context.name, '  '.join(future.result().values())))
        except econtext.ConnectError as error:
            failed += 1
            print('%-20s %s: %s' % (context.name, error.kind, error.remedy))
        except econtext.EcontextError as error:
            failed += 1
            print('%-20s %s' % (context.name, str(error).splitlines()[0]))
    return 1 if failed else 0


if __name__ == '__main__':
    with econtext.Broker() as broker:
        status = main(broker, sys.argv[1:])
    sys.exit(status)
