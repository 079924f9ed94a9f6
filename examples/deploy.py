"""
Deploy to many hosts, a few at a time; stop when a batch fails.

    python examples/deploy.py FOLDER VERSION [HOST …]
"""

import concurrent.futures
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
    contexts = [broker.ssh(host) for host in hosts] or [broker.local()]
    for start in range(0, len(contexts), BATCH):
        batch = contexts[start : start + BATCH]
        futures = {context.options(timeout=60).submit(deploy, folder, version): context for context in batch}
        failed = 0
        for future in concurrent.futures.as_completed(futures):
            name = futures[future].name
            try:
                print('%s: %s -> %s' % (name, future.result() or 'nothing', version))
            except econtext.EcontextError as error:
                failed += 1
                print('%s: %s' % (name, str(error).splitlines()[0]))
        if failed:
            left = len(contexts) - start - len(batch)
            return '%d failed; %d hosts were left as they are' % (failed, left)
    return 0


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit('usage: deploy.py FOLDER VERSION [HOST ...]')
    with econtext.Broker() as broker:
        status = main(broker, sys.argv[1], sys.argv[2], sys.argv[3:])
    sys.exit(status)
