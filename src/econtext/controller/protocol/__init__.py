"""Bodies of frames to values, and back. Pure: no descriptors, no threads."""
