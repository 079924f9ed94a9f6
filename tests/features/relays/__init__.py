"""Functions that call further down; Python 2.4 to 3.15."""
