"""Errors named by what the caller does next. Every one of them reads as one clear line."""


class UserError(Exception):
    """The user can mend it: print the one line that `str()` gives and exit with a non-zero code."""


class SinkBusy(Exception):
    """The sink can't take this now (away, overloaded): keep the state, try again later."""


class SinkRefused(Exception):
    """The sink will never take this (a missing table, a role without rights): stop the worker."""


class StopWorker(Exception):
    """Going on could lose or double a line: end the worker, loudly, before it writes anything."""
