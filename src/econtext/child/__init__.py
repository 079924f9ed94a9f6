"""
Ring 1: what runs in every context, Python 2.4 to 3.15.

The eight modules of the preamble, each importing only those to its left:
``wire``, ``codec``, ``router``, ``loop``, ``calls``, ``importer``, ``logs``,
``main``.  They travel to each new child as one compressed constant and have a
byte budget, held by a test.

What a first call does not need follows in the same write, one module a topic:
``failure``, ``rich``, ``channels``, ``title``, ``resources``, ``face``.
"""
