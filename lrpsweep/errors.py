"""The one exception that a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Something the user gave is wrong: says where, what was found, and what was expected.

    The command line prints the message without a traceback and exits with 2.
    """


class WorkError(Exception):
    """The work could not be done, or not to its end; says why, and what to do.

    The command line prints the message without a traceback and exits with 1.
    """


def guess(word: str, allowed: Iterable[str]) -> str:
    """' Did you mean ...?' for the nearest allowed word, or nothing."""
    near = difflib.get_close_matches(word, list(allowed), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
