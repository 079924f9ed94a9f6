"""Contexts for asyncio: the same names, awaited. Public as ``econtext.aio``."""
