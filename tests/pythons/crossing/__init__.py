"""What test_crossing.py calls in contexts: Python 2.7 to 3.15, sent from the controller."""
