"""
A cluster of Dask on hosts that econtext reaches: ``econtext.dask.Cluster``.

Needs the package distributed, here and on the hosts: ``pip install 'econtext[dask]'``.  The workers are contexts, so
what the program's functions import arrives over the link, what they print and log arrives as records, and nothing is
left on the hosts when the program ends, however it ends.
"""

from __future__ import annotations

from econtext.controller.dask.cluster import Cluster

__all__ = ['Cluster']
