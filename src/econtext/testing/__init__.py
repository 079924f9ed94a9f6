"""
What econtext's own tests and those of its extensions hold things against.

Needs no test framework: what does not conform is an AssertionError.
"""

from __future__ import annotations

from econtext.testing.connectors import check_connector as check_connector

__all__ = ['check_connector']
