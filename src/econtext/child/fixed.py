"""A time zone of fixed offset, for Pythons whose ``datetime`` has none (< 3.2). Pure."""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import datetime


class Zone(datetime.tzinfo):
    def __init__(self, offset, name):
        # type: (datetime.timedelta, str) -> None
        self.offset = offset
        self.name = name

    def utcoffset(self, moment):
        # type: (Any) -> datetime.timedelta
        return self.offset

    def dst(self, moment):
        # type: (Any) -> None
        return None

    def tzname(self, moment):
        # type: (Any) -> str
        return self.name
