"""A backend of joblib whose workers are the hosts of a fleet. Public as ``econtext.joblib``."""
