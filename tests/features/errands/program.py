"""A controller that the tests of life time start: it says which processes it has, and ends as it is told."""

import concurrent.futures
import json
import logging
import os
import sys
import threading
import time

import econtext
from econtext.controller import tree
from econtext.parent import children
from errands import work

WAYS = {
    'idle': None,
    'sleeps': work.sleep,
    'computes': work.compute,
    'system': work.system,
    'waits': work.wait_program,
    'stubborn': work.stubborn,
    'careful': work.careful,
    'holds': work.hold,
}


class Busy(logging.Handler):
    """Learns which contexts are at work."""

    def __init__(self):
        super().__init__()
        self.names = set()
        self.changed = threading.Condition()

    def emit(self, record):
        if record.getMessage() == 'stdout: busy':
            with self.changed:
                self.names.add(record.name.removeprefix('econtext.ctx.'))
                self.changed.notify_all()


def say(text):
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


def begin(broker, plan):
    """Start the contexts of `plan`; return them when all are at work, and what they do."""
    busy = Busy()
    logger = logging.getLogger('econtext.ctx')
    logger.addHandler(busy)
    logger.setLevel(logging.INFO)
    contexts, calls = {}, {}
    for entry in plan:
        via = contexts.get(entry['via'], broker)
        options = dict(entry['options'], name=entry['name'])
        contexts[entry['name']] = getattr(via, entry['kind'])(**options)
    pids = {name: context.call(os.getpid) for name, context in contexts.items()}
    for entry in plan:
        way = WAYS[entry['way']]
        if way:
            arguments = [entry['path']] if 'path' in entry else []
            calls[entry['name']] = contexts[entry['name']].submit(way, *arguments)
    with busy.changed:
        if not busy.changed.wait_for(lambda: busy.names == set(calls), 60):
            raise SystemExit('not at work: %s' % (set(calls) - busy.names))
    say(json.dumps(pids))
    return contexts, calls


def state_of(context):
    try:
        return context.call(os.getpid)
    except econtext.EcontextError as error:
        return type(error).__name__


def outcome(call):
    try:
        return call.result(60)
    except Exception as error:
        return type(error).__name__


def interrupted_at(place, broker, contexts, calls):
    """Stand at `place`; a person now presses Ctrl-C."""
    name = next(iter(calls))
    context = contexts[name]
    say('at ' + place)
    if place == 'call':
        context.call(os.getpid)
    elif place == 'options':
        context.options(timeout=60).call(os.getpid)
    elif place == 'result':
        calls[name].result()
    elif place == 'wait':
        concurrent.futures.wait(calls.values())
    elif place == 'channel':
        next(context.channel())
    elif place == 'select':
        next(econtext.select([each.channel() for each in contexts.values()]))
    elif place == 'wait_ready':
        broker.local(python=['sh', '-c', 'sleep 60']).wait_ready()
    elif place == 'own':
        time.sleep(60)
    raise AssertionError('it went on')


def run(broker, plan, ending):
    contexts, calls = begin(broker, plan)
    if ending == 'wait':
        say(json.dumps({name: result(name, contexts, calls) for name in contexts}))
    elif ending == 'raise':
        raise ValueError('of the program')
    elif ending == 'exit':
        sys.exit(5)
    elif ending == 'shutdown':
        for context in contexts.values():
            context.shutdown()
    elif ending.startswith('interrupt-'):
        try:
            interrupted_at(ending.partition('-')[2], broker, contexts, calls)
        finally:
            # Not before: an interrupt that comes sooner is one of the program, and closing takes its time.
            threading.Thread(target=say_closing, args=(broker,)).start()


def say_closing(broker):
    while not broker._tree.closed:
        time.sleep(0.001)
    say('closing')


def result(name, contexts, calls):
    """What becomes of a context that is about to be lost."""
    if name in calls:
        return outcome(calls[name])
    end = time.monotonic() + 60
    answer = state_of(contexts[name])
    while isinstance(answer, int) and time.monotonic() < end:
        time.sleep(0.02)
        answer = state_of(contexts[name])
    return answer


def main(plan, ending):
    if ending.startswith('forget'):
        broker = econtext.Broker()
        if ending == 'forget-thread':
            thread = threading.Thread(target=begin, args=(broker, plan))
            thread.start()
            thread.join()
        else:
            begin(broker, plan)
        return
    if 'ECT_PATIENCE' in os.environ:
        children.PATIENCE = tree.CLOSING = float(os.environ['ECT_PATIENCE'])
    with econtext.Broker() as broker:
        run(broker, plan, ending)


if __name__ == '__main__':
    main(json.loads(sys.argv[1]), sys.argv[2])
