"""Networks of several parts, each in a file of its own beside its task."""
