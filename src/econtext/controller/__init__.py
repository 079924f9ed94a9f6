"""
Ring 3: the user's own machine, Python 3.10 or later.

Nothing here ever travels.  It may import every other ring; no other ring may
import it.
"""
