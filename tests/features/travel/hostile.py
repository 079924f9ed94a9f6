"""What only a hostile context does: frames of our own making, on the link to the parent."""

import gc
import os
import sys
import time


def child():
    """Return this context's Child, which no function is given."""
    main = sys.modules['econtext.core.main']
    (found,) = [thing for thing in gc.get_objects() if isinstance(thing, main.Child)]
    return found


def numbers(data):
    found = ''.join([chr(number) for number in data])
    if sys.version_info[0] > 2:
        found = found.encode('latin-1')
    return found


def write(data):
    """Write bytes that are no frame, and wait for what comes of it."""
    child().link.write(numbers(data))
    time.sleep(30)


def answer_for(who, handles, flag):
    """Answer every call that `who` might be asked, as if we were it."""
    wire = sys.modules['econtext.core.wire']
    me = child()
    body = sys.modules['econtext.core.codec'].encode('forged')
    for handle in range(1, handles):
        me.link.write(wire.pack(wire.RESULT, 0, who, handle, len(body)) + body)
    while not os.path.exists(flag):
        time.sleep(0.01)


def send(kind, target, flag):
    """Send a frame of a kind that only goes down, from ourselves."""
    wire = sys.modules['econtext.core.wire']
    me = child()
    me.link.write(wire.pack(getattr(wire, kind), target, me.router.me, 1, 0))
    while not os.path.exists(flag):
        time.sleep(0.01)


def answer_with(body):
    """Answer the call that runs, and others, by what is no value."""
    wire = sys.modules['econtext.core.wire']
    me = child()
    body = numbers(body)
    for handle in range(1, 50):
        me.link.write(wire.pack(wire.RESULT, 0, me.router.me, handle, len(body)) + body)
    time.sleep(30)
