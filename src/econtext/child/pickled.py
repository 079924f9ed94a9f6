"""
Carry out what joblib has pickled, and pickle what comes of it.

Code is pickled only for Pythons of the same minor version: it crashes others.

Sent with the first call of ``run``.  The thread of a call enters.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import sys


def run(data, python, pickler):
    # type: (bytes, tuple[int, ...], str) -> tuple[bool, bytes, str]
    """
    Return whether the pickled function has returned, what it did or raised, and where it raised.

    `pickler` is the module that has pickled it; what comes of it is pickled by that, too.
    """
    if tuple(sys.version_info[:2]) != tuple(python[:2]):
        raise sys.modules['econtext'].EcontextError(
            '%s is Python %d.%d, and the program runs Python %d.%d: joblib sends code, which needs the same version; '
            'name such a Python with python=' % (
                sys.executable, sys.version_info[0], sys.version_info[1], python[0], python[1]))
    __import__(pickler)
    cloudpickle = sys.modules[pickler]  # type: Any
    function = cloudpickle.loads(data)
    try:
        return True, cloudpickle.dumps(function()), ''
    except Exception:
        from econtext.child import failure
        error = sys.exc_info()
        trace = failure.trace_text(*error)
        try:
            pickled = cloudpickle.dumps(error[1])
            # What cannot be made again would fail the program where it looks for the result.
            cloudpickle.loads(pickled)
        except Exception:
            pickled = None
        if pickled is None:
            raise
        return False, pickled, trace
