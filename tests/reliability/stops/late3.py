"""One of four that are imported at once."""
from stops import lateness

NUMBER = lateness.give(3)
