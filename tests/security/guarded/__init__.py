"""A package of which a part must not leave the program."""


def fine():
    return 'fine'
