"""
A backend of joblib over a fleet.

``econtext.joblib.register()`` once, then ``joblib.parallel_config('econtext', fleet=fleet)``.

Needs the package joblib here: ``pip install 'econtext[joblib]'``; hosts without it get it over the link.
"""

from __future__ import annotations

from econtext.controller.joblib.backend import register

__all__ = ['register']
