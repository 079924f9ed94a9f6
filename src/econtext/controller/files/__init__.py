"""Files of contexts: copied there and back, opened, and walked as paths. From calls and channels alone."""
