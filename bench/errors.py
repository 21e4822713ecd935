"""What ends the benchmark with one line instead of a traceback."""


class BenchError(Exception):
    """Text for the user; ``code`` is the program's exit code."""

    code = 1


class MissingTool(BenchError):
    """Something that must be installed first is not there."""

    code = 2
