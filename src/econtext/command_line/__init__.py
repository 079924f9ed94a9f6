"""The command line: one module for each command, over the public names of econtext. Imported by `cli` alone."""
