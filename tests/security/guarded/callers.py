"""Functions of the program that contexts may call, and what calls them there; any Python."""

import os
import threading

import econtext

BOX = {}
LATER = []


# Run in the program.

def where():
    return os.getpid()


def put(key, value, more=None):
    BOX[key] = value, more
    return len(BOX)


def fail(text):
    raise KeyError(text)


def forbidden():
    BOX['forbidden'] = True


def call_back(number):
    """Call into the context that waits for us, and into another one."""
    return BOX['other'].call(where), BOX['asker'].call(where)


def call_on(names):
    """Have the first of the contexts in the box call on with the rest; at the end one is just called."""
    names = list(names)
    context = BOX[names.pop(0)]
    if BOX.get('barrier'):
        BOX['barrier'].wait(60)
    if names:
        return context.call(ask_on, names)
    return context.call(where)


def submit_on(first, second):
    """Have a context submit on, and wait for it or not."""
    future = BOX[first].submit(ask_text, 'guarded.callers.submitted', second)
    if not BOX.get('waits'):
        BOX['future'] = future
        return 'gone on'
    BOX['asked'].wait(60)
    return future.result()


def submitted(name):
    future = BOX[name].submit(where)
    BOX['asked'].set()
    return future.result()


def call_and_stay(name):
    """Call a context, and have that behind us while we do something else."""
    BOX[name].call(where)
    BOX['asked'].set()
    BOX['go on'].wait(60)


def wait_for_all(count):
    BOX['barrier'].wait(60)
    return count


# Run in contexts.

def ask_text(function, *args):
    try:
        return econtext.program.call(function, *args)
    except econtext.CallError as error:
        return str(error)


def ask_on(names):
    try:
        return econtext.program.call(call_on, names)
    except econtext.CallError as error:
        return str(error)


def ask_on_beside(names):
    """Ask in a thread that carries out no call, and do not wait for it."""
    threading.Thread(target=lambda: LATER.append(ask_on(names))).start()


def later():
    return LATER


def ask(function, *args, **kwargs):
    return econtext.program.call(function, *args, **kwargs)


def ask_where():
    return econtext.program.call(where)


def ask_put(value):
    return econtext.program.call(put, 'key', value, more=[value])


def ask_put_deep(levels):
    value = None
    for _ in range(levels):
        value = [value]
    return ask_put(value)


def ask_fail():
    try:
        econtext.program.call(fail, 'no such thing')
    except KeyError as error:
        return type(error).__name__, isinstance(error, econtext.CallError), 'no such thing' in str(error)


def ask_forbidden():
    try:
        econtext.program.call(forbidden)
    except econtext.NotAllowed as error:
        return str(error)


def ask_from_threads(count):
    """Ask in so many threads at once; return what they got."""
    got = []

    def work(number):
        try:
            got.append(econtext.program.call(wait_for_all, number))
        except econtext.NotAllowed:
            got.append('refused')
            os.write(1, 'refused\n'.encode())
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def ask_call_back():
    try:
        return econtext.program.call(call_back, 1)
    except econtext.CallError as error:
        return str(error)
