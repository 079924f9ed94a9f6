"""
Answer requests on a socket with work in contexts, by asyncio: one that is withdrawn is interrupted there.

    python examples/service.py [HOST ...]

Each line that a client sends is a number; the answer is the sum of the squares below it. A client that hangs up has its
work interrupted. Ctrl-C ends the service and its contexts.
"""

import asyncio
import contextlib
import itertools
import sys

from econtext import aio


def add_up(number):
    """Work for a while."""
    return sum(value * value for value in range(number))


async def answer(web, reader, writer):
    """Serve one client: read on while the work runs, to see that the client hangs up."""
    line = await reader.readline()
    while line:
        work = asyncio.create_task(web.options(grace=10).call(add_up, int(line)))
        following = asyncio.create_task(reader.readline())
        await asyncio.wait([work, following], return_when=asyncio.FIRST_COMPLETED)
        if following.done() and not following.result():
            work.cancel()
            print('interrupted', flush=True)
            break
        writer.write(b'%d\n' % await work)
        await writer.drain()
        line = await following
    writer.close()


async def main(hosts):
    async with aio.Broker() as broker:
        contexts = [broker.ssh(host) for host in hosts] or [broker.local(), broker.local()]
        turns = itertools.cycle(contexts)
        server = await asyncio.start_server(lambda *ends: answer(next(turns), *ends), '127.0.0.1', 0)
        print('port', server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()


if __name__ == '__main__':
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1:]))
