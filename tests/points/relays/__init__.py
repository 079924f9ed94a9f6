"""Functions that call further down; Python 2.7 to 3.15."""
