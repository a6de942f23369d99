"""The one exception that means "the user can mend this": commands print it as one line and exit with status 2."""


class UserError(Exception):
    """Input that cannot be used. The message is one line: what is wrong, then what to do about it."""

    def __init__(self, message: str):
        # Parts of it may come from a damaged or hostile file: no line breaks, no terminal codes, no endless text.
        line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
        super().__init__(line if len(line) <= 1000 else f"{line[:1000]} ...")
