"""The bench: econtext and its peers side by side; see docs/performance.md. `python -m bench --help`."""
