"""Trials in SQLite, each row sealed by a digest of itself and of all rows before it."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dse.errors import RunDamaged, RunUnwritable

DATABASE = "run.sqlite"

_CREATE = """
CREATE TABLE trials (
    number INTEGER PRIMARY KEY,
    codes TEXT NOT NULL,
    design TEXT NOT NULL,
    metrics TEXT NOT NULL,
    failure TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT
"""


class Row(NamedTuple):
    """One trial as text: codes and columns in JSON, the failure as it is."""

    codes: str
    design: str
    metrics: str
    failure: str


def seal(before: bytes, number: int, row: Row) -> bytes:
    """Digest of a row and, through `before`, of every row before it; 16 bytes."""
    digest = hashlib.blake2b(before, digest_size=16)
    digest.update(number.to_bytes(8, "little"))
    for part in row:
        text = part.encode()
        digest.update(len(text).to_bytes(8, "little"))
        digest.update(text)
    return digest.digest()


class TrialTable:
    """The open database of a run; mutable on purpose.

    Args:
        path: Of the file; made if it is not there.
        genesis: What the first row's digest continues: the identity of the run.
        held: Rows that are there, and their last digest.
    """

    def __init__(self, path: Path, genesis: bytes, held: tuple[int, bytes] | None = None) -> None:
        self._path = path
        self.count, self._head = held or (0, genesis)
        with self._writing():
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            if held is None:
                self._database.execute(_CREATE)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise RunUnwritable(
                f"{self._path} cannot be written: {error}; every trial reported so far is stored"
            ) from error

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows in one transaction; when this returns, they are on the disk."""
        sealed, head = [], self._head
        for number, row in enumerate(rows, self.count):
            head = seal(head, number, row)
            sealed.append((number, *row, head))
        with self._writing():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?)", sealed)
                self._database.execute("COMMIT")
            except BaseException:
                # After a full disk SQLite has rolled back by itself.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        self.count, self._head = self.count + len(rows), head

    def close(self) -> None:
        """Close; back to a single file, so that a run reads from a folder nobody may write to."""
        with contextlib.suppress(sqlite3.Error):  # a full disk: the log beside it stays, and counts
            # Who has not read yet after somebody else did cannot change the mode.
            self._database.execute("SELECT max(number) FROM trials").fetchone()
            self._database.execute("PRAGMA journal_mode=DELETE")
        self._database.close()


class Sound(NamedTuple):
    """The longest run of rows from the first on that verify, and why it ends where it ends.

    Attributes:
        rows: In order.
        head: Digest of the last.
        damage: Empty if the table ends there.
    """

    rows: list[Row]
    head: bytes
    damage: str


def sound_rows(path: Path, genesis: bytes) -> Sound:
    """Read what verifies; never raises over damage, so that the rest can be saved.

    Raises:
        RunDamaged: If there is no such file, or it cannot be opened for a reason that is none of
            its content's (permission, a lock).
    """
    if not path.is_file():
        raise RunDamaged(f"{path} is missing")
    rows: list[Row] = []
    head = genesis
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        for number, *texts, digest in database.execute(
            "SELECT number, codes, design, metrics, failure, digest FROM trials ORDER BY number"
        ):
            whole = all(isinstance(text, str) for text in texts)
            row = Row(*texts)
            expected = seal(head, len(rows), row) if whole else b""
            if number != len(rows) or digest != expected:
                return Sound(rows, head, f"trial {len(rows)} does not verify")
            rows.append(row)
            head = expected
    except sqlite3.DatabaseError as error:
        # Python's own complaint about a text that is none has no code; SQLite's have.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        if damaged or "no such table" in str(error):
            return Sound(rows, head, f"after {len(rows)} trials: {error}")
        raise RunDamaged(f"{path} cannot be read: {error}") from error
    finally:
        database.close()
    return Sound(rows, head, "")


def count_rows(path: Path) -> int:
    """How many trials there are, without verifying any: an answer at once, however many.

    Raises:
        RunDamaged: If the file does not read.
    """
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            found = database.execute("SELECT max(number) FROM trials").fetchone()[0]
        finally:
            database.close()
    except sqlite3.Error as error:
        raise RunDamaged(f"{path} cannot be read: {error}") from error
    return 0 if found is None else int(found) + 1
