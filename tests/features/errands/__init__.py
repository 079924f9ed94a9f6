"""What the tests have contexts do, in the Python of 2.7 to 3.15; the package is forwarded."""
