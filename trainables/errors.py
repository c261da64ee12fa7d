"""The one exception a user's mistake turns into."""


class InputError(Exception):
    """Bad input: one clear sentence naming the field or file, what was found and what is allowed.

    The command line prints it without a traceback and exits with code 2.
    """
