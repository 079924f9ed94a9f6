"""
The handler that sends log records to the controller.

Follows the preamble; imported when the application first imports ``logging``.
"""
from econtext.core.codec import encode
from econtext.core.wire import LOG


def hook(router, logging, level):
    # type: (Router, Any, int) -> Any
    """Send what the root logger receives from `level` on; return that logger."""
    class Forwarder(logging.Handler):  # type: ignore[misc]
        def emit(self, record):
            # type: (Any) -> None
            try:
                self.format(record)
                router.send(LOG, 0, 0, encode((
                    record.name, record.levelno, record.created,
                    record.message, record.exc_text)))
            except:
                self.handleError(record)

    root = logging.getLogger()
    root.addHandler(Forwarder())
    root.setLevel(level)
    return root
