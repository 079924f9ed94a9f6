"""
Ring 1, behind the preamble: what runs in every context, Python 2.4 to 3.15.

One module a topic.  ``controller.modules.manifest`` says when each of them is sent: in the first write, behind HELLO,
ahead of a use, or when a context asks for it.  They import ``core`` and each other, never ``parent``, but for the one
way out: ``life`` imports ``parent.nursery`` when this context is to start another one.
"""
