"""A cluster of Dask whose workers are contexts. Public as ``econtext.dask``."""
