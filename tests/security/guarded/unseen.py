"""Never imported by the program, whoever names it."""

import econtext


@econtext.register
class Seen:
    def __init__(self, value=None):
        self.value = value


def make():
    return Seen(1)
