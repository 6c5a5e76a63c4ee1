"""Texts that somebody else wrote, made fit to be shown and stored."""

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories of what is not seen but acts: control and format characters (terminal
escapes, directional overrides), lone surrogates, line and paragraph separators."""


def printable(text: str) -> str:
    r"""A text as it may go to a terminal: what is not seen but acts stands there as `\x1b`.

    Only line ends remain as they are. What is given can always be encoded as UTF-8. A text that is
    printable already does not change.
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if character != "\n" and unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    )


def safe_line(text: str, most: int) -> str:
    """A text on one line of at most `most` characters, printable; a longer one says how long.

    What it gives does not change when it is given again.
    """
    line = " ".join(text.split())
    shown = printable(line[:most])  # of a long text no more than that is looked at
    if len(line) <= most and len(shown) <= most:
        return shown
    ending = f"… ({len(line):,} characters)"
    return shown[: most - len(ending)] + ending
