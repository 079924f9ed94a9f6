"""Examination of a connection, step by step."""
