"""Errors meant to be read by the person who can mend them."""


class InputError(ValueError):
    """Something the user supplied is wrong: a file, a row, a config key.

    The message says what is wrong, where, and what to do. Steps let it pass; `covidcxr.logs.step`
    prints it as one line, without a traceback.
    """
