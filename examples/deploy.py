"""
Deploy to many hosts, a few at a time; stop at the first failure.

    python examples/deploy.py FOLDER VERSION [HOST …]
"""

import os
import sys

import econtext

BATCH = 2


def deploy(folder, version):
    """Put `version` into service in one step; return the one before."""
    path = os.path.join(folder, 'VERSION')
    before = None
    if os.path.exists(path):
        file = open(path)
        before = file.read()
        file.close()
    file = open(path + '.new', 'w')
    file.write(version)
    file.close()
    os.rename(path + '.new', path)
    return before


def main(broker, folder, version, hosts):
    fleet = broker.fleet(hosts) if hosts else broker.fleet(['here'], connector='local')
    rolling = fleet.options(batch=BATCH, stop_after=1, timeout=60)
    results = rolling.call(deploy, folder, version)
    for host, before in results.successes.items():
        print('%s: %s -> %s' % (host, before or 'nothing', version))
    for host, error in results.failures.items():
        print('%s: %s' % (host, str(error).splitlines()[0]))
    if results.failures:
        return '%d failed; %d hosts were left as they are' % (len(results.failures), len(results.skipped))
    return 0


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit('usage: deploy.py FOLDER VERSION [HOST ...]')
    with econtext.Broker() as broker:
        status = main(broker, sys.argv[1], sys.argv[2], sys.argv[3:])
    sys.exit(status)
