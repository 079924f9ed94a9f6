"""
What modules of ours keep for one process alone is made anew in a process that is forked off it.

Invariants:

* A module that makes a lock at its top level, or keeps there what belongs to this process alone, has a function
  ``after_fork``, which makes these anew.  ``tests/rules/test_renewal.py`` reads the sources for that.
* Such a lock is looked up in its module each time: no other module imports its name.
* No lock is taken here: a thread that is not in this process may hold any lock.

Sent behind HELLO; runs in the controller too.  Entered in the new process, by its only thread.
"""
import sys


def renew():
    # type: () -> None
    """This process was just forked: call ``after_fork`` of each module of ours that has one and is loaded."""
    for name, module in list(sys.modules.items()):
        if name[:9] == 'econtext.':
            # A package may fetch what is asked of it by `getattr`.
            getattr(module, '__dict__', {}).get('after_fork', int)()
