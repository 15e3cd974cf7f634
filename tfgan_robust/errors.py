"""Errors that a user can cause and mend, and the exit codes of commands."""

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
# Of what was received.
_MOST_SHOWN = 60


class TfganRobustError(Exception):
    """Base of all errors that a command reports in one line.

    Attributes:
        exit_code: What a command line returns to the shell.
    """

    exit_code = 1


class UsageError(TfganRobustError, ValueError):
    """Bad flags, settings, files or arguments."""

    exit_code = 2


class DivergenceError(TfganRobustError):
    """A loss became NaN or infinite."""

    exit_code = 3


class DataNotFoundError(TfganRobustError):
    """A data set is neither on disk nor to be downloaded."""

    exit_code = 4


def exit_code_of(error: BaseException) -> int:
    """Returns what a process exits with that ends by an error."""
    usual = TfganRobustError.exit_code
    if isinstance(error, KeyboardInterrupt):
        usual = EXIT_INTERRUPTED
    return int(getattr(error, "exit_code", usual))


def in_one_line(error: Exception) -> str:
    """Returns the class and the text of somebody else's error."""
    # Keras shows the whole model where it does not know a class.
    (text, *_) = str(error).split("Full object config:")
    return f"{type(error).__name__}: {' '.join(text.split())}"


def shown(value: object) -> str:
    """Returns a value as errors show it: the beginning of a long one."""
    try:
        text = str(value)
    # A whole number of more digits than Python writes.
    except ValueError:
        return "a number of thousands of digits"
    if len(text) <= _MOST_SHOWN:
        return text
    return f"{text[:_MOST_SHOWN]}..."
