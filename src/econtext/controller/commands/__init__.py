"""Commands in contexts: run, and heard while they run. From calls and channels alone."""
