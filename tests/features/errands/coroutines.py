"""Coroutine functions that tests have contexts run: Python 3.7 and later."""

import asyncio
import os

from travel import raising

from .awaited import note

EVENTS = {}


def event(name):
    return EVENTS.setdefault(name, asyncio.Event())


async def where():
    return os.getpid(), id(asyncio.get_running_loop())


async def wait_for(name):
    await event(name).wait()
    return name


async def allow(name):
    event(name).set()


async def nap(path):
    note(path, 'begun')
    try:
        await asyncio.sleep(60)
    finally:
        note(path, 'cancelled')


async def fail(key='k'):
    raise KeyError(key)


async def of_control(name):
    await asyncio.sleep(0)
    raising.of_control(name)


async def add(first, second=1, *, third=0):
    await asyncio.sleep(0)
    return first + second + third


class Counter:
    @classmethod
    async def name(cls, number):
        return cls.__name__, number

    @staticmethod
    async def double(number):
        return 2 * number


async def nap_and_tell(path):
    """Say how it is left, and in what thread it ran."""
    note(path, 'begun')
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        note(path, 'cancelled')
        raise


async def break_loop():
    """Take from the event loop what it waits with."""
    asyncio.get_running_loop()._selector.close()
    await asyncio.sleep(60)
