"""
The life of a context, as one table of states and events.

Invariants:

* A state that is FAILING, FAILED, ENDING or ENDED is never left for one in which calls are answered.
* READY, ENDING and ENDED come after HELLO, the other states do not: what has said HELLO stays known as such.
* A program is gone only after its context was given up: GONE follows END.
* An event that another thread may send late has a row that leaves the state as it is.  Each other pair is illegal.

What a program does before HELLO has a table of its own, see ``parent.start``.

Pure.  `docs/design/reliability.md` shows the table, written by ``scripts/states.py``.
"""

from __future__ import annotations

from econtext.parent import start

# States: before HELLO ...
NEW, DEFERRED, STARTING, FAILING, FAILED = 'new', 'deferred', 'starting', 'failing', 'failed'
# ... and behind it.
READY, ENDING, ENDED = 'ready', 'ending', 'ended'

# Events: the start waits for the first call; the program is started; the context has said HELLO;
# no answer can come any more; the program is gone.
DEFER, LAUNCH, GREET, END, GONE = 'defer', 'launch', 'hello', 'end', 'gone'

STATES = NEW, DEFERRED, STARTING, READY, FAILING, FAILED, ENDING, ENDED
EVENTS = DEFER, LAUNCH, GREET, END, GONE

#: In which states a context has said HELLO.
GREETED = frozenset((READY, ENDING, ENDED))
#: In which states no answer can come from a context.
OVER = frozenset((FAILING, FAILED, ENDING, ENDED))

#: (state, event) -> the next state.
TABLE: dict[tuple[str, str], str] = {
    (NEW, DEFER): DEFERRED,
    (NEW, LAUNCH): STARTING,
    (DEFERRED, LAUNCH): STARTING,
    (STARTING, GREET): READY,
    (NEW, END): FAILING,
    (DEFERRED, END): FAILING,
    (STARTING, END): FAILING,
    (READY, END): ENDING,
    (FAILING, GONE): FAILED,
    (ENDING, GONE): ENDED,
    # The context was closed before its first call: its program is launched only to be given up.
    (FAILING, LAUNCH): FAILING,
    # Several threads may see the end of one context, and one of them may still read its HELLO.
    **{(state, END): state for state in sorted(OVER)},
    **{(state, GREET): state for state in sorted(OVER)},
    (FAILED, GONE): FAILED,
    (ENDED, GONE): ENDED,
}


def transition(state: str, event: str) -> str:
    """
    Return the state that follows `state` when `event` happens.

    Raises ``start.IllegalTransition`` for a pair that is not in the table.
    """
    return start.transition(state, event, TABLE, 'a context')
