"""What runs in contexts, of any Python."""

import json
import pickle
import pkgutil


def imports(name):
    __import__(name)
    return name


def data(package, name):
    try:
        found = pkgutil.get_data(package, name)
    except (IOError, OSError, ImportError):
        return None
    return found and len(found)


def look_at(secret):
    """Return what is seen of a secret, then what it holds."""
    seen = [repr(secret), str(secret), '%s %r' % (secret, secret), '{0} {0:>40}'.format(secret), str([secret])]
    for show in pickle.dumps, json.dumps:
        try:
            seen.append(repr(show(secret)))
        except TypeError as error:
            seen.append(str(error))
    return seen, secret.reveal()


def give_back(secret):
    return {'it': [secret]}


def fail(secret):
    raise ValueError('with %s and %r' % (secret, [secret]))
