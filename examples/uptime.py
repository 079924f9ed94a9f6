"""
A shell script for many hosts: each line they print is a log record with its host's name.

    python examples/uptime.py [HOST …]
"""

import os
import sys

import econtext
import econtext.utils


def main(broker):
    contexts = [broker.ssh(host) for host in sys.argv[1:]] or [broker.local()]
    futures = [context.submit(os.system, 'hostname; uptime') for context in contexts]
    for future in futures:
        try:
            future.result()
        except econtext.EcontextError as error:
            print(error, file=sys.stderr)


if __name__ == '__main__':
    econtext.utils.run_with_broker(main)
