"""The version of a checkout.  A built package has a file of this name with the version of its tag (hatch_build.py)."""

__version__ = '0.1.0.dev0'
