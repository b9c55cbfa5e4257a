"""What can go wrong, as exceptions that say what is wrong, where, and what to do."""

RESUME_CODE = 75
"""Exit code of a command that was stopped in order, ``EX_TEMPFAIL`` of ``sysexits.h``: it can go on."""


class MixCLError(Exception):
    """A problem of the data, the plan or the machine that the user can act on.

    The message is one or a few lines: what is wrong, where (case, file, field), what to do. The command line
    prints it and exits with code 1; anything else is a bug and keeps its traceback.
    """


class DataError(MixCLError):
    """A raw file or dataset that can't be used as it is."""


class PlanError(MixCLError):
    """A plan that is malformed or that contradicts the data or an earlier run."""


class RunError(MixCLError):
    """A training, prediction or report that can't start or go on."""


class RunStoppedError(RunError):
    """A run was asked to stop, has saved its state and can be resumed by the same command.

    The command line then exits with ``RESUME_CODE``.
    """


class WeightsError(MixCLError):
    """Weights that do not fit the network they were given for."""
