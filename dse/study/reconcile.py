"""Going on with a run only with what it was begun with, or with what a user accepts instead."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dse.core.files import canonical_json
from dse.runs.differences import accepted_lines, accepted_of, as_record, differences
from dse.runs.lock import now
from dse.runs.manifest import began_in_python, resumed_by
from dse.runs.store import RunWriter


def _run(writer: RunWriter) -> str:
    """What `dse resume` is given; nothing for a run that Python goes on with."""
    return "" if began_in_python(writer.manifest) else resumed_by(writer.folder, writer.manifest)


def reconcile(
    writer: RunWriter,
    identified: Mapping[str, Any],
    artefacts: Mapping[str, str],
    facts: Mapping[str, str],
    accept: Sequence[str],
) -> tuple[str, ...]:
    """Compare a run with what would go on with it; what is accepted is put on record.

    The manifest gets the difference in `accepted`, and what it is now identifies the run from then
    on. Its identity, which the seal of every trial continues, stays that of the beginning.

    Args:
        writer: Of the run.
        identified: What it would be identified by now.
        artefacts: Files of the cache that its trials rest on and that are there, with digests.
        facts: As its manifest would keep them now.
        accept: Fields that may differ, or names above them.

    Returns:
        Lines about what was accepted now or before; none in most runs.

    Raises:
        RunDiffers: If something differs that is not accepted, or nothing does where something is.
        DseError: If what is to be accepted cannot be.
    """
    kept: Mapping[str, str] = writer.manifest.get("artefacts", {})
    both = kept.keys() & artefacts.keys()
    before = {**writer.manifest["identified_by"], "artefacts": {k: kept[k] for k in both}}
    after = {**identified, "artefacts": {k: artefacts[k] for k in both}}
    accepted = accepted_of(differences(before, after), accept, _run(writer))
    if accepted:
        entries = as_record(accepted, writer.trials, now())
        for entry in entries:
            writer.note("accepted", entry)
        record = {"accepted": [*writer.manifest.get("accepted", []), *entries]}
        changed = {"artefacts": {**kept, **after["artefacts"]}} if kept else {}
        writer.record(
            {
                **record,
                **changed,
                "identified_by": json.loads(canonical_json(identified)),
                "facts": {**facts, "accepted": "; ".join(accepted_lines(record))},
            }
        )
    return accepted_lines(writer.manifest)
