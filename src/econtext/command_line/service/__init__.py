"""The session server: a process that keeps contexts warm between commands; see ``supervisor``."""
