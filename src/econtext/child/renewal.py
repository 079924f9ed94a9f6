"""
What modules of ours keep for one process alone is made anew in a process that is forked off it.

Invariants:

* A module that makes a lock at its top level, or keeps there what belongs to this process alone, registers a function
  ``after_fork``, which makes these anew.  ``tests/rules/test_renewal.py`` reads the sources for that.
* Such a lock is looked up in its module each time: no other module imports its name.
* No lock is taken here: a thread that is not in this process may hold any lock.
* Nothing but what is registered is looked at: each object that a forked process looks at costs a page of memory.

Sent behind HELLO; runs in the controller too.  Entered in the new process, by its only thread; `register` as modules
are imported.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

REGISTERED = []     # type: list[Callable[[], None]]


def register(function):
    # type: (Callable[[], None]) -> Callable[[], None]
    """Have `function` called in each process that is forked off this one."""
    REGISTERED.append(function)
    return function


def renew():
    # type: () -> None
    """This process was just forked: call what modules of ours have registered."""
    for function in REGISTERED:
        function()
