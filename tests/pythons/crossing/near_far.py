"""A neighbour that is found by reading, and imports another when it is called."""
VALUE = u'\u00fcber'


def deeper():
    from crossing.below import leaf
    return leaf.NAME
