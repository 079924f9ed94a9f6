"""Coroutine functions that tests have contexts run: Python 3.7 and later."""

import asyncio
import os

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
