"""Which code may leave the program, and how it is found, read and packed."""
