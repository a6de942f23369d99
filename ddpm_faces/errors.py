"""The one exception that means "the user can mend this": commands print it as one line and exit with status 2."""


class UserError(Exception):
    """Input that cannot be used. The message is one line: what is wrong, then what to do about it."""
