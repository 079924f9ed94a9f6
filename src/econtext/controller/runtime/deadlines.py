"""Numbers of seconds, and what is raised where a deadline has passed. Pure."""

from __future__ import annotations

from typing import Any


class Expired(Exception):
    """A waiter's deadline has passed."""


def is_seconds(value: Any) -> bool:
    """Is `value` a number, and not below zero?"""
    try:
        return bool(value >= 0)
    except TypeError:
        return False
