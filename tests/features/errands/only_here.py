"""A module that reads at its top level what only the program has."""
import os

TOLD = os.environ['ECONTEXT_ONLY_HERE']


def told():
    return TOLD
