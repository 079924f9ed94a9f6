TOKEN = 1


def give():
    return TOKEN
