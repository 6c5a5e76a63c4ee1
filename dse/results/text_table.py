"""A table for people, in which every text is shown as it is."""

from typing import Literal

from rich.table import Table
from rich.text import Text

from dse.core.texts import printable


class TextTable:
    """A table for a terminal. No text in it is read as markup, and no control character passes.

    Titles, heads, cells and the caption may hold anything that a study file, a run folder or an
    evaluator says. Mutable on purpose: it is filled.

    Args:
        heads: Of columns aligned to the left; more columns by `add_column`.
        title: Above the table; empty for none.
        left: Whether the title is aligned to the left.
        headless: Whether no heads are shown.
    """

    def __init__(
        self, *heads: str, title: str = "", left: bool = False, headless: bool = False
    ) -> None:
        self._table = Table(
            title=_shown(title) if title else None,
            title_justify="left" if left else "center",
            show_header=not headless,
        )
        for head in heads:
            self.add_column(head)

    def add_column(
        self,
        head: str = "",
        *,
        justify: Literal["left", "right"] = "left",
        style: str | None = None,
        no_wrap: bool = False,
    ) -> None:
        """Add a column; `style` is one of rich's, such as `bold`."""
        self._table.add_column(_shown(head), justify=justify, style=style, no_wrap=no_wrap)

    def add_row(self, *cells: str) -> None:
        """Add a row, one text for each column."""
        self._table.add_row(*map(_shown, cells))

    def add_caption(self, text: str) -> None:
        """Say something below the table."""
        self._table.caption = _shown(text)

    def __rich__(self) -> Table:
        return self._table


def _shown(text: str) -> Text:
    return Text(printable(text))
