"""
Ring 2: what a context needs to have children of its own, Python 2.4 to 3.15.

Sent to a context when it first starts a child, one small module a topic:
``command`` says what to run, ``process`` runs it, ``handshake`` understands
what it prints until the child speaks.  ``econtext.connectors`` holds the ways
in; everything here is the same for all of them.
"""
