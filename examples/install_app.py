"""
Install an application on a host; the whole program is this file.

    python examples/install_app.py HOST

Unpacks app.tar.gz, which lies in the home directory there.
"""

import os
import sys

import econtext


def install_app():
    """Install our application."""
    os.system('tar zxvf app.tar.gz')


def main(broker):
    """Run in the program that was started, never in a context."""
    if len(sys.argv) != 2:
        sys.exit('usage: install_app.py HOST')
    context = econtext.ssh.connect(broker, sys.argv[1])
    context.call(install_app)


if __name__ == '__main__' and not econtext.slave:
    import econtext.utils

    econtext.utils.run_with_broker(main)
