"""Every form of a run's plot, written to a folder."""

from pathlib import Path

from dse.core.errors import DseError
from dse.core.files import write_atomically
from dse.plots import interactive, static
from dse.plots.front_view import FrontView
from dse.plots.points_table import points_csv
from dse.runs.differences import accepted_lines
from dse.runs.store import Run


def write_plots(run: Run, folder: Path) -> tuple[Path, ...]:
    """Write `front.html`, `front.png` and `points.csv`, each atomically.

    Args:
        run: The run to draw.
        folder: Made if missing; files of these names are replaced.

    Returns:
        The files written.

    Raises:
        DseError: If one cannot be written.
    """
    view = FrontView.of(run.question, run.trials, accepted=accepted_lines(run.manifest))
    page, picture, points = (folder / n for n in ("front.html", "front.png", "points.csv"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        interactive.write_html(interactive.front_figure(view), page)
        static.write_png(static.front_print(view), picture)
        write_atomically(points, points_csv(view))
    except OSError as error:
        raise DseError(f"{folder}: the plots cannot be written there: {error.strerror}") from error
    return page, picture, points
