"""The command line in a test's own process."""

from aelib import cli


def call(*words):
    """The exit code of `aelib …`. A traceback would be an exception here."""
    try:
        cli.main([str(w) for w in words])
    except SystemExit as e:
        return e.code
    return 0
