"""
The handler that sends log records to the controller.

Follows the preamble; imported when the application first imports ``logging``.
"""
from econtext.core.codec import encode
from econtext.core.logs import Logs
from econtext.core.wire import LOG


def hook(child, logging, level):
    # type: (Child, Any, int) -> Any
    """Send what the root logger receives from `level` on; return that logger.

    What was printed before a record is sent before it.
    """
    class Forwarder(logging.Handler):  # type: ignore[misc]
        def emit(self, record):
            # type: (Any) -> None
            try:
                self.format(record)
                Logs.flush(child.logs)
                child.router.send(LOG, 0, 0, encode((
                    record.name, record.levelno, record.created,
                    record.message, record.exc_text)))
            except:
                self.handleError(record)

    root = logging.getLogger()
    root.addHandler(Forwarder())
    root.setLevel(level)
    return root
