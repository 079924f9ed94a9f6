"""
Deploy an archive to many hosts behind a bastion, as root, a few hosts at a time; stop at the first failure.

    python examples/deploy.py app-2.1.tar.gz /srv/app [BASTION HOST …]

The folder must be there. The archive is unpacked beside the versions before, then `current` leads to it. HOST is a
name that the bastion knows, or a file of hosts such as fleet.toml. Without HOST it is a process on this machine.
"""

import os
import subprocess
import sys

import econtext


def deploy(archive):
    """Unpack the archive, and have `current` lead to the new version in one step; return the version before."""
    folder, name = os.path.split(archive)
    version = os.path.join(folder, name.replace('.tar.gz', ''))
    current = os.path.join(folder, 'current')
    if not os.path.isdir(version):
        os.mkdir(version)
    subprocess.check_call(['tar', 'xzof', archive, '-C', version])
    before = None
    if os.path.islink(current):
        before = os.readlink(current)
    if os.path.islink(current + '.new'):
        os.remove(current + '.new')
    os.symlink(os.path.basename(version), current + '.new')
    os.rename(current + '.new', current)
    return before


def main(broker, archive, folder, bastion=None, *words):
    hosts = [econtext.inventory.toml(word) if word.endswith('.toml') else word for word in words]
    fleet = broker.fleet(hosts, relays=[bastion]).sudo() if hosts else broker.fleet(['here'], connector='local')
    there = os.path.join(folder, os.path.basename(archive))
    fleet = fleet.options(stop_after=1, progress=sys.stderr.isatty())
    fleet.put(archive, there, resume=True).raise_for_failures()
    results = fleet.options(batch=[1, '25%'], timeout=300).call(deploy, there)
    for host, before in results.successes.items():
        print('%s: %s -> %s' % (host, before or 'nothing', os.path.basename(archive)))
    if results.failures:
        print('%d hosts were left as they are' % len(results.skipped))
    results.raise_for_failures()


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit('usage: deploy.py ARCHIVE FOLDER [BASTION HOST ...]')
    with econtext.Broker() as broker:
        try:
            main(broker, *sys.argv[1:])
        except (econtext.EcontextError, OSError) as error:
            sys.exit('\n'.join(str(each).splitlines()[0] for each in getattr(error, 'exceptions', [error])))
