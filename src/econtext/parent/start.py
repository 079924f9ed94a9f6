"""
The start of a child, as one table of states and events.

Invariants:

* A start ends once: the child is ready, or the start has failed.  What comes behind the failure changes nothing.
* Only a child that was ready can be lost or told to end.
* A program is gone only after the start has failed, or the child was lost or told to end.
* An event that another thread may send late has a row that leaves the state as it is.  Each other pair is illegal.

Pure.  `docs/design/reliability.md` shows the table, written by ``scripts/states.py``.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# States: nobody has started the program; the program runs, and has not printed the mark; its output has ended before
# the mark, and its status is to tell why; there will be no child.
NEW, STARTING, CLOSED, FAILED = 'new', 'starting', 'closed', 'failed'
# The mark was there; the child was told to end; the link has ended, or nothing comes by it.
READY, STOPPING, LOST = 'ready', 'stopping', 'lost'
# The program was waited for.
GONE = 'gone'

# Events: the program is to be started; the child has printed the mark; the output has ended before the mark; the
# start has failed; the child is not wanted any more; the link has ended; the program was waited for.
LAUNCH, MARK, CLOSE, FAIL, STOP, LOSE, BURY = 'launch', 'mark', 'close', 'fail', 'stop', 'lose', 'bury'

STATES = NEW, STARTING, CLOSED, READY, FAILED, STOPPING, LOST, GONE
EVENTS = LAUNCH, MARK, CLOSE, FAIL, STOP, LOSE, BURY

#: In which states what a program says may still decide how its start ends.
UNDECIDED = NEW, STARTING, CLOSED

#: (state, event) -> the next state.
TABLE = {
    (NEW, LAUNCH): STARTING,
    (NEW, STOP): FAILED,
    (STARTING, MARK): READY,
    (STARTING, CLOSE): CLOSED,
    (STARTING, FAIL): FAILED,
    (STARTING, STOP): FAILED,
    (CLOSED, FAIL): FAILED,
    (CLOSED, STOP): FAILED,
    (READY, STOP): STOPPING,
    (READY, LOSE): LOST,
    (STOPPING, LOSE): LOST,
    (FAILED, BURY): GONE,
    (STOPPING, BURY): GONE,
    (LOST, BURY): GONE,
    # The child was stopped before its program was started, which is then not started at all.
    (FAILED, LAUNCH): FAILED,
    # One thread stops the child while another one reads what its program says.
    (FAILED, MARK): FAILED,
    (FAILED, CLOSE): FAILED,
    (FAILED, FAIL): FAILED,
    (GONE, MARK): GONE,
    (GONE, CLOSE): GONE,
    (GONE, FAIL): GONE,
    # Several threads stop a child, or see its end.
    (FAILED, STOP): FAILED,
    (STOPPING, STOP): STOPPING,
    (LOST, STOP): LOST,
    (LOST, LOSE): LOST,
    (GONE, STOP): GONE,
    (GONE, LOSE): GONE,
}  # type: dict[tuple[str, str], str]


class IllegalTransition(AssertionError):
    """An event came in a state that does not know it: a fault of econtext itself."""


def transition(state, event, table=TABLE, what='a start'):
    # type: (str, str, Mapping[tuple[str, str], str], str) -> str
    """
    Return the state that follows `state` in `table` when `event` happens.

    Raises IllegalTransition, which names `what` has these states, for a pair that is not in the table.
    """
    if (state, event) not in table:
        raise IllegalTransition('%s that is %s cannot take the event %s' % (what, state, event))
    return table[state, event]
