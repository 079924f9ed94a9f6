"""
When each module of ours that travels is sent to a context.

Invariants:

* Each file of the travelling rings stands here under one heading.  Modules that are sent
  ahead of a use may stand under several uses.
* Connectors of ours are not listed: each is sent ahead of the first context that is to be
  started by it.
* Where several modules are sent at once, they are sent in the order that they have here.

Data alone, one module a line.  Imports nothing of econtext, so that a build can load it by
its path.  Any thread may enter.
"""

from __future__ import annotations

#: The folders whose modules travel, each of which may import from those before it.
RINGS = ('core', 'child', 'parent', 'connectors')


def full(names: str) -> tuple[str, ...]:
    """Return the full names of modules of ours."""
    return tuple('econtext.' + name for name in names.split())


# In the preamble. Each module imports only those before it; the last one is run.
PREAMBLE = full("""
    core.wire
    core.codec
    core.loop
    core.router
    core.calls
    core.importer
    core.logs
    core.main
""")

# In the first write, behind the preamble: what a context needs for its first call. None is executed before all are
# there, so they have the order in which they compress best: 50 bytes less than in another.
FIRST_WRITE = full("""
    child.registry
    child.face
    child.flow
    child.title
    child.kinds
    child.supervisor
    child.watch
    child.life
    child.pull
""")

# As soon as the context has said HELLO: less to send, and to compile, before that.
AFTER_HELLO = full("""
    child.failure
    child.older
    child.ending
    child.labels
    child.rich
    child.records
    child.resources
    child.places
    child.renewal
    child.forks
    child.spawning
    child.parts
    child.bulk
    child.particulars
""")

#: Of these, those whose `settle` the context is told to call then, the first before Python 3.2 only. The main thread is
#: to import them: the thread that takes them in must not, and a further one would take memory of its own for that.
CASTS = full("""
    child.older
    child.bulk
""")

# Before a context starts others.
FOR_CHILDREN = full("""
    child.undone
    parent.command
    parent.gate
    parent.handshake
    parent.judge
    parent.terminal
    parent.process
    parent.start
    parent.children
    parent.backlog
    parent.nursery
""")

# With the connectors that import them.
FOR_CONNECTORS = full("""
    parent.boxes
    parent.users
""")

# Before the first step, where sudo, su or an engine was told to speak English.
FOR_ENGLISH = full("""
    child.undone
""")

# With threads=.
FOR_THREADS = full("""
    child.pool
""")

# Before the first value of a registered class.
FOR_CLASSES = full("""
    child.fields
    child.models
    child.named
""")

# Before the first call is given up.
FOR_INTERRUPTIONS = full("""
    child.interruption
""")

# With the first call, or stream, of one of their functions: as any module of the program.
WITH_CALLS = full("""
    child.awaiting
    child.checkup
    child.comparing
    child.copies
    child.dashboards
    child.dask
    child.drafts
    child.files
    child.folders
    child.groups
    child.interpreter
    child.listings
    child.packages
    child.pickled
    child.pyinfra
    child.ansiballz
    child.receiving
    child.running
    child.scripts
    child.sending
    child.separate
    child.separated
    child.sessions
    child.sourced
    child.streams
    child.temporary
    child.transfer
    child.uncaught
    child.within
""")

# When a context asks for it.
ON_DEMAND = full("""
    child.ancient
    child.channels
    child.fixed
    child.nested
    child.upward
    parent.caller
    parent.forking
    parent.values
""")

# Never: what type checkers alone read.
NEVER = full("""
    child.interfaces
""")

# What is in the preamble or the first write by itself: the packages around those modules.
PACKAGES = ('econtext', 'econtext.core', 'econtext.child')


#: What is sent by when it is sent, in the words of the documentation.
SENDINGS = {
    'in the preamble': PREAMBLE,
    'in the first write': FIRST_WRITE,
    'after HELLO': AFTER_HELLO,
    'before the context starts others': FOR_CHILDREN,
    'with a connector that imports it': FOR_CONNECTORS,
    'where a program was told to speak English': FOR_ENGLISH,
    'with `threads=`': FOR_THREADS,
    'where classes are registered': FOR_CLASSES,
    'before a call is interrupted': FOR_INTERRUPTIONS,
    'with a call of its functions': WITH_CALLS,
    'when asked for': ON_DEMAND,
    'never': NEVER,
}
