"""The data behind a plot, as CSV."""

import csv
import io

from dse.plots.front_view import FrontView


def points_csv(view: FrontView) -> str:
    """All trials with number, class, knobs and metrics; drawn or not, failed ones too.

    Values are in SI units, named in each header, in full precision; a failed trial has no metrics
    but says why.
    """
    quantities = view.question.quantities
    columns = {
        **{name: column.tolist() for name, column in view.trials.designs.items()},
        **{name: column.tolist() for name, column in view.trials.metrics.items()},
    }
    metrics = {q.name for q in view.question.metrics}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["trial", "class", *(f"{q.name} [{q.unit}]" for q in quantities), "failure_kind", "failure"]
    )
    for i, why in enumerate(view.trials.failures):
        values = ["" if why and q.name in metrics else columns[q.name][i] for q in quantities]
        said = (why.kind, why.reason) if why else ("", "")
        writer.writerow([i, view.classes[i], *values, *said])
    return stream.getvalue()
