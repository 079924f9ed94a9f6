"""What is raised where a deadline has passed; apart, for the loop and what the loop imports raise it."""

from __future__ import annotations


class Expired(Exception):
    """A waiter's deadline has passed."""
