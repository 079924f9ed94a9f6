"""
Follow a file on many hosts, through its rotation and through lost connections, until Ctrl-C.

    python examples/tail_logs.py PATH [HOST …]
"""

import asyncio
import contextlib
import os
import sys
import time

import econtext


def follow(path, place):
    """Yield each place and the line before, from `place` or the end on; then those of the file that takes its place."""
    while True:
        with open(path, 'rb') as log:
            file, over = os.fstat(log.fileno()).st_ino, False
            offset = log.seek(0, 2) if place is None else log.seek(place[1] if place[0] == file else 0)
            yield (file, offset), ''
            for line in iter(log.readline, None):
                if line.endswith(b'\n'):
                    offset += len(line)
                    yield (file, offset), line.decode('utf-8', 'replace')
                elif over:
                    break
                else:
                    log.seek(offset)
                    time.sleep(0.2)
                    with contextlib.suppress(FileNotFoundError):  # it is being rotated
                        over = os.stat(path).st_ino != file or os.stat(path).st_size < offset
        place = 0, 0


async def watch(fleet, host, path):
    place = None
    while True:
        try:
            async for behind, line in (await fleet.context(host)).stream(follow, path, place):
                place = behind
                print(line and f'{host}: {line}', end='', flush=True)
        except econtext.EcontextError as error:
            print(f'{host}:', str(error).splitlines()[0].removeprefix(f'{host}: '), file=sys.stderr)
            if place is None:
                return
        await asyncio.sleep(1)  # then the host is connected again, and the file read from where it was


async def main(path, hosts):
    async with econtext.aio.Broker() as broker:
        fleet = broker.fleet(hosts) if hosts else broker.fleet(['here'], connector='local')
        await asyncio.gather(*(watch(fleet, host, path) for host in fleet))


if __name__ == '__main__':
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], sys.argv[2:]))
