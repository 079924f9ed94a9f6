"""Things to log."""
import logging
import sys
import threading

log = logging.getLogger('errands.shop')


def text(literal):
    """Return what Python 3 calls a text, from its escapes."""
    return literal.encode('ascii').decode('unicode_escape')


def at_every_level(said):
    for level in 'debug', 'info', 'warning', 'error', 'critical':
        getattr(log, level)('%s at %s', said, level)


def record(name, level, text):
    logging.getLogger(name).log(level, text)


def failing():
    try:
        {}['no such key']
    except KeyError:
        log.exception('it failed')


def set_up_again():
    logging.basicConfig()
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
    log.warning('only once')


def enabled(level):
    return log.isEnabledFor(level)


def badly_formatted():
    log.warning('%d and %d', 'one')
    log.warning('afterwards')


class Thing(object):
    def __str__(self):
        return 'a thing'


def long(size):
    log.warning(text('\\u2603') * size)
    logging.getLogger('l' * 5000).error('of a long name')
    made = logging.LogRecord(None, 30, 'path', 1, ['not', 'a', 'text'], (), None)
    made.exc_text = 'x' * size
    logging.getLogger().handle(made)


def odd():
    log.warning(Thing())
    log.warning(text('caf\\xe9 \\u2603 %s'), text('\\u20ac'))
    log.warning('100%')
    log.warning('%(a)s and %(b)s', {'a': 1, 'b': 2})
    log.warning('two\nlines')
    log.warning('\x1b[2Jcleared?')
    log.log(35, 'between')


def surrogates(text):
    log.warning(text)


def many(number):
    for i in range(number):
        log.info('%d', i)


def from_thread(text):
    thread = threading.Thread(target=log.warning, args=(text,))
    thread.start()
    thread.join()


def mixed(number):
    for i in range(number):
        log.info('%d', i)
        sys.stdout.write('%d\n' % i)


def quiet():
    log.setLevel(logging.ERROR)
    try:
        log.warning('not wanted there')
        log.error('wanted')
    finally:
        log.setLevel(logging.NOTSET)
