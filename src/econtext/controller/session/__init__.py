"""One connection to many contexts: who may say what, calls, futures, streams, channels, output."""
