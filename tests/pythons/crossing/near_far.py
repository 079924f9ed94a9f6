"""A neighbour that is found by reading, and imports another when it is called."""
VALUE = '\\xfcber'.encode('ascii').decode('unicode_escape')


def deeper():
    from crossing.below import leaf
    return leaf.NAME
