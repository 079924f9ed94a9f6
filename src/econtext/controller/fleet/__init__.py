"""Work on many hosts at once, built on what contexts offer to everybody."""
