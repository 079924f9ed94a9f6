"""A controller that is about to be killed: it starts contexts, says which processes they are, and waits."""

import json
import logging
import os
import sys
import threading

import econtext
from stops import work


class Busy(logging.Handler):
    def __init__(self):
        super().__init__()
        self.count = threading.Semaphore(0)

    def emit(self, record):
        if record.getMessage() == 'stdout: busy':
            self.count.release()


def main(plan):
    busy = Busy()
    logger = logging.getLogger('econtext.ctx')
    logger.addHandler(busy)
    logger.setLevel(logging.INFO)
    with econtext.Broker() as broker:
        contexts, pids = {}, {}
        for entry in plan:
            via = contexts.get(entry.get('via'), broker)
            contexts[entry['name']] = getattr(via, entry['kind'])(**entry['options'])
        for name, context in contexts.items():
            pids[name] = context.call(os.getpid)
        busy_ones = [entry for entry in plan if entry['way'] != 'idle']
        calls = [contexts[entry['name']].submit(getattr(work, entry['way'])) for entry in busy_ones]
        for _ in calls:
            if not busy.count.acquire(timeout=60):
                raise SystemExit('not at work')
        sys.stdout.write(json.dumps(pids) + '\n')
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == '__main__':
    main(json.loads(sys.argv[1]))
