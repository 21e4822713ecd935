"""The command line: `socksfusion` and the two programs in the foreground."""
