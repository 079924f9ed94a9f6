"""
What the collection ``econtext.core`` needs beside its plugins; the plugins themselves stand in ``ansible_collections``.

Invariants:

* No module here imports Ansible when it is imported: the plugins hand in what they know of it.

Any thread may enter.
"""
