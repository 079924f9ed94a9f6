"""
Take the inventory of a fleet, side by side, with progress, and print a table; hosts that fail have a line too.

    python examples/facts.py [HOST …]

HOST is a name, a pattern of names in ~/.ssh/config such as 'web*', or a file of hosts such as fleet.toml.
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


def main(broker, words):
    hosts = [econtext.inventory.toml(word) if word.endswith('.toml') else word for word in words]
    fleet = broker.fleet(hosts, connect_timeout=20) if hosts else broker.fleet(['here'], connector='local')
    # A bar, where somebody looks; no host waits for another.
    results = fleet.options(timeout=40, progress=sys.stderr.isatty()).call(facts)
    for host in results:
        if host in results.successes:
            print('%-20s %s' % (host, '  '.join(results[host].values())))
        else:
            print('%-20s %s' % (host, str(results.failures[host]).splitlines()[0].removeprefix(f'{host}: ')))
    return 1 if results.failures else 0


if __name__ == '__main__':
    with econtext.Broker() as broker:
        status = main(broker, sys.argv[1:])
    sys.exit(status)
