"""The exception that means "the user can mend this": commands print it as one line and exit with status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Input that cannot be used. The message is one line: what is wrong, then what to do about it."""

    def __init__(self, message: str) -> None:
        # Parts of the message may come from a damaged or hostile file: no line breaks, no terminal codes, no endless text.
        line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
        super().__init__(line if len(line) <= 1000 else f"{line[:1000]} ...")


def hint(word: str, known: Iterable[str]) -> str:
    """ "; did you mean X?" for a word that is close to a known one, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
