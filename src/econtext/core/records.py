"""
The handler that sends log records to the controller.

Sent behind HELLO; imported when the application first imports ``logging``.
"""
from econtext.core.codec import Text, encode

MOST = 1 << 17      # characters of a text that is sent
LONGEST = 1000      # of the name of a logger
MOST_LEVEL = 1 << 60    # that no level or time reaches


def cut(text, most=MOST):
    # type: (Any, int) -> Any
    """Return `text`, whatever the application made of it, as one that is not too long, and says so."""
    if not isinstance(text, (str, Text)):
        text = '%s' % (text,)
    if len(text) > most:
        text = text[:most] + '... (%d more characters are left out)' % (len(text) - most)
    return text


def number(value):
    # type: (Any) -> Any
    """Return `value` as a plain number, 0 for what is none: an application may have a class of its own for levels."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int) and -MOST_LEVEL < value < MOST_LEVEL:
        return int(value)
    return 0


def hook(child, logging, level):
    # type: (Child, Any, int) -> Any
    """Send what the root logger receives from `level` on; return that logger.

    What was printed before a record is sent before it.
    """
    class Forwarder(logging.Handler):  # type: ignore[misc]
        def handle(self, record):
            # type: (Any) -> Any
            # Without the handler's lock: who waits for credit would hold it, and
            # the thread that leads may log, in what Python calls by itself.
            if self.filter(record):
                self.emit(record)
            return True

        def emit(self, record):
            # type: (Any) -> None
            try:
                self.format(record)
                trace = record.exc_text and cut(record.exc_text)
                body = encode((
                    cut(record.name, LONGEST), number(record.levelno), number(record.created),
                    cut(record.message), trace))
            except Exception:
                self.handleError(record)
            else:
                child.flow.log(body)

    root = logging.getLogger()
    root.addHandler(Forwarder())
    root.setLevel(level)
    return root
