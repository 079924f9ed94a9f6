"""
What a context may say now: the one place that judges a sender.

A context is LIVE until it has an error: it was closed, refused, was not ready in time,
or what it is reached by is gone.  From then on it is ENDING, until its link has ended.
One that sent what no honest context sends is REJECTED.

Invariants:

* What an ENDING context says changes nothing but its own end: its last output, charged
  as before, and that the programs of its own children are gone.  What a REJECTED one
  says changes nothing.
* All that is said of a child is said by its own parent, the context that started it.
* The reports of a child follow LIFE.  One that may be late is IGNORED; one that no honest
  parent sends is a FAULT of the parent.

Pure.
"""

from __future__ import annotations

from econtext.child.kinds import PART
from econtext.core.wire import LOG, REPORT, STDIO
from econtext.parent.judge import LIMITS

LIVE, ENDING, REJECTED = 'live', 'ending', 'rejected'

#: Of which kinds what a sender says is carried out.
HEARD: dict[str, frozenset[int]] = {
    LIVE: frozenset(LIMITS),
    ENDING: frozenset((LOG, STDIO, REPORT, PART)),
    REJECTED: frozenset(),
}

#: Of which kinds a large frame in parts is kept.
KEPT: dict[str, frozenset[int]] = {
    LIVE: HEARD[LIVE],
    ENDING: frozenset((LOG, STDIO)),
    REJECTED: frozenset(),
}

#: Which reports of a child of its own are carried out.
TOLD: dict[str, frozenset[str]] = {
    LIVE: frozenset(('ready', 'said', 'ask', 'failed', 'lost', 'silent', 'buried')),
    ENDING: frozenset(('buried',)),
    REJECTED: frozenset(),
}

# The life of a child, as its parent tells it.
STARTED, SPEAKS, OVER, BURIED = 'started', 'speaks', 'over', 'buried'
IGNORED, FAULT = 'ignored', 'fault'

#: (state, event) -> the state from then on, or what becomes of the report.
LIFE: dict[tuple[str, str], str] = {
    (STARTED, 'ask'): STARTED,
    (STARTED, 'ready'): SPEAKS,
    (STARTED, 'failed'): OVER,
    (STARTED, 'lost'): FAULT,
    (STARTED, 'silent'): FAULT,
    # Two threads of the parent may see at once that it speaks, and that it asks or is closed.
    (SPEAKS, 'ask'): IGNORED,
    (SPEAKS, 'failed'): OVER,
    (SPEAKS, 'ready'): FAULT,
    (SPEAKS, 'lost'): OVER,
    (SPEAKS, 'silent'): OVER,
    **{(OVER, event): IGNORED for event in ('ask', 'ready', 'failed', 'lost', 'silent')},
    **{(state, 'said'): state for state in (STARTED, SPEAKS, OVER)},
    **{(state, 'buried'): BURIED for state in (STARTED, SPEAKS, OVER)},
    **{(BURIED, event): IGNORED for event in TOLD[LIVE]},
}


def is_heard(standing: str, kind: int) -> bool:
    """Is a frame of this kind carried out, from a sender of that standing?"""
    return kind in HEARD[standing]


def is_kept(standing: str, kind: int) -> bool:
    """Is a large frame of this kind kept, as its parts come?"""
    return kind in KEPT[standing]


def report(standing: str, own: bool, state: str, event: str) -> str:
    """
    Return the state of a child from now on, IGNORED or FAULT.

    `standing` is that of the reporter, `own` whether it is the child's parent, `state`
    the child's as it was told by now.
    """
    if standing == REJECTED:
        return IGNORED
    if not own:
        # From who is given up it changes nothing either way.
        return FAULT if standing == LIVE else IGNORED
    if event not in TOLD[standing]:
        return IGNORED
    return LIFE[state, event]
