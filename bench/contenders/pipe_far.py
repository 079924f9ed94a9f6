"""What the children of `pipe` run; it imports next to nothing, for they pay for it."""

from __future__ import annotations

from bench import far

HERE = None


def serve(connection):  # type: ignore[no-untyped-def]
    """Answer calls until the other end closes."""
    global HERE
    HERE = connection
    while True:
        try:
            function, args = connection.recv()
        except EOFError:
            return
        connection.send(function(*args))


def up(size, count):  # type: ignore[no-untyped-def]
    data = far.block(size)
    for _ in range(count):
        HERE.send_bytes(data)


def down(count):  # type: ignore[no-untyped-def]
    return sum([len(HERE.recv_bytes()) for _ in range(count)])
