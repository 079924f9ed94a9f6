"""
Follow a file on many hosts, until Ctrl-C.

    python examples/tail_logs.py PATH [HOST …]
"""

import sys
import time

import econtext


def tail_log_file(channel, path):
    """Send what is appended to the file at `path`, as long as somebody listens."""
    try:
        log = open(path, 'rb')
        log.seek(0, 2)
        while channel.open():
            data = log.read()
            if data:
                channel.send(data)
            else:
                time.sleep(0.2)
    finally:
        channel.close()


def main(broker, path, hosts):
    contexts = [broker.ssh(host) for host in hosts] or [broker.local()]
    channels = [context.channel() for context in contexts]
    futures = [channel.context.submit(tail_log_file, channel, path) for channel in channels]
    for channel, value in econtext.select(channels):
        if isinstance(value, econtext.EcontextError):
            # The context could not be started, or was lost: its future tells, below.
            continue
        for line in value.decode('utf-8', 'replace').splitlines():
            sys.stdout.write('%s: %s\n' % (channel.context.name, line))
        sys.stdout.flush()
    for future in futures:
        if future.exception():
            sys.stderr.write('%s\n' % future.exception())


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit('usage: tail_logs.py PATH [HOST ...]')
    try:
        with econtext.Broker() as broker:
            main(broker, sys.argv[1], sys.argv[2:])
    except KeyboardInterrupt:
        pass
