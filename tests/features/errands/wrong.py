"""Functions that are called in a way that cannot work."""
import asyncio


def generate(number):
    yield from range(number)


async def promise():
    return 1


async def promise_many():
    yield 1


def makes_a_promise():
    return asyncio.sleep(0)


def makes_many():
    return promise_many()


def makes_a_generator():
    return (number for number in range(3))


def fails_later(number):
    yield from range(number)
    raise ValueError('after %d' % number)


class Things:
    async def promise(self):
        return 1
