"""
Ring 1, the preamble: what runs in every context first, Python 2.4 to 3.15.

``controller.modules.manifest`` lists the modules; each imports only those before it in that list.  They travel to
each new child as one compressed constant and have a byte budget, which a test holds.
"""
