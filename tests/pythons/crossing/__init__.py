"""What test_crossing.py calls in contexts: Python 2.4 to 3.15, sent from the controller."""
