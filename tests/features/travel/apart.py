"""A class registered in another module than those that use it; and classes of others, registered here."""

import econtext
from travel import plain


class Distance(object):
    def __init__(self, metres):
        self.metres = metres


econtext.register(Distance)
econtext.register(plain.Foreign, reduce=lambda value: (value.what,))
