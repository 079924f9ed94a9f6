"""The module that holds the function to call; it needs others."""

import platform

from myapp import settings


def my_function():
    """Return a line that only this application can make."""
    return '%s %s' % (settings.GREETING, platform.node())
