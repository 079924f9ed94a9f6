"""Run a program whose output goes on at a rate: slow.py BYTES_A_SECOND -- ARGV. For any Python 3."""

import os
import subprocess
import sys
import time


def main():
    rate = int(sys.argv[1])
    program = subprocess.Popen(sys.argv[3:], stdout=subprocess.PIPE)
    while True:
        data = os.read(program.stdout.fileno(), max(1, min(65536, rate // 20)))
        if not data:
            break
        view = memoryview(data)
        while view:
            view = view[os.write(1, view):]
        time.sleep(len(data) / rate)


if __name__ == '__main__':
    main()
