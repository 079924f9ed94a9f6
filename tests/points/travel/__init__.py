"""What the tests of points 1 to 5 call in contexts: Python 2.4 to 3.15, sent from the controller."""
