"""What the tests of features call in contexts: Python 2.4 to 3.15, sent from the controller."""
