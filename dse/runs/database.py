"""A run's one truth, in SQLite: trials, each sealed over all before it, and the run's texts."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dse.core.errors import RunDamaged, RunUnwritable

DATABASE = "run.sqlite"

_CREATE = """
CREATE TABLE trials (
    number INTEGER PRIMARY KEY,
    codes TEXT NOT NULL,
    design TEXT NOT NULL,
    metrics TEXT NOT NULL,
    failure_kind TEXT NOT NULL,
    failure TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT
"""
_CREATE_TEXTS = """
CREATE TABLE IF NOT EXISTS texts (
    name TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT
"""
_INSERT = "INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?)"


class Row(NamedTuple):
    """One trial as text: codes and columns in JSON, kind and reason of the failure or nothing."""

    codes: str
    design: str
    metrics: str
    failure_kind: str
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


def make_table(
    path: Path, genesis: bytes, texts: Mapping[str, str], rows: Sequence[Row] = ()
) -> bytes:
    """Make a database of texts and rows in one transaction: after a crash it is whole or empty.

    Args:
        path: Of the file; must not be there.
        genesis: What the first row's digest continues: the identity of the run.
        texts: Name -> content.
        rows: In order.

    Returns:
        Digest of the last row.

    Raises:
        RunUnwritable: If the disk does not take it.
    """
    sealed, head = _sealed(rows, 0, genesis)
    with _writing(path), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as made:
        made.execute("PRAGMA synchronous=FULL")
        made.execute("BEGIN IMMEDIATE")
        made.execute(_CREATE)
        _put_texts(made, texts)
        made.executemany(_INSERT, sealed)
        made.execute("COMMIT")
    return head


def _sealed(rows: Sequence[Row], first: int, head: bytes) -> tuple[list[tuple[object, ...]], bytes]:
    """Rows with their numbers and digests, and the last digest."""
    sealed: list[tuple[object, ...]] = []
    for number, row in enumerate(rows, first):
        head = seal(head, number, row)
        sealed.append((number, *row, head))
    return sealed, head


def _put_texts(database: sqlite3.Connection, texts: Mapping[str, str]) -> None:
    database.execute(_CREATE_TEXTS)  # a run of an earlier version has none
    database.executemany(
        "INSERT OR REPLACE INTO texts VALUES (?, ?, ?)",
        [(name, content, _text_digest(name, content)) for name, content in texts.items()],
    )


def _text_digest(name: str, content: str) -> bytes:
    return hashlib.blake2b(f"{name}\n{content}".encode(), digest_size=16).digest()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise RunUnwritable(
            f"{path}: another process has written these trials already, so two drivers work on "
            "this run; this one stops, and every trial reported so far is stored"
        ) from error
    except (OSError, sqlite3.Error) as error:
        raise RunUnwritable(
            f"{path} cannot be written: {error}; every trial reported so far is stored"
        ) from error


class TrialTable:
    """The open database of a run; mutable on purpose.

    Args:
        path: Of the file, as `make_table` left it.
        held: How many rows are there, and the digest of the last.
    """

    def __init__(self, path: Path, held: tuple[int, bytes]) -> None:
        self._path = path
        self.count, self._head = held
        with _writing(path):
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows in one transaction; when this returns, they are on the disk."""
        sealed, head = _sealed(rows, self.count, self._head)
        with self._transaction():
            self._database.executemany(_INSERT, sealed)
        self.count, self._head = self.count + len(rows), head

    def keep(self, texts: Mapping[str, str]) -> None:
        """Keep texts by name, over what they said before, in one transaction."""
        with self._transaction():
            _put_texts(self._database, texts)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _writing(self._path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                # After a full disk SQLite has rolled back by itself.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

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
    _require_file(path)
    found = _sound_rows(path, genesis, torn=False)
    if not found.damage:
        return found
    saved = _sound_rows(path, genesis, torn=True)
    return saved._replace(damage=found.damage) if len(saved.rows) > len(found.rows) else found


def _sound_rows(path: Path, genesis: bytes, *, torn: bool) -> Sound:
    rows: list[Row] = []
    head = genesis
    try:
        with reading(path, torn) as database:
            for number, *texts, digest in database.execute(
                "SELECT number, codes, design, metrics, failure_kind, failure, digest FROM trials "
                "ORDER BY number"
            ):
                whole = all(isinstance(text, str) for text in texts)
                row = Row(*texts)
                expected = seal(head, len(rows), row) if whole else b""
                if number != len(rows) or digest != expected:
                    return Sound(rows, head, f"trial {len(rows)} does not verify")
                rows.append(row)
                head = expected
    except sqlite3.DatabaseError as error:
        if _of_content(error) or "no such table" in str(error):
            return Sound(rows, head, str(error))
        raise _refusal(path, error) from error
    return Sound(rows, head, "")


def unsound(path: Path) -> str:
    """What SQLite finds wrong with the structure of a file; empty if nothing.

    Rows may verify in a file to which no more can be added, because a page that they do not need
    is damaged.
    """
    try:
        with reading(path) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else str(found).splitlines()[-1]


def finish_change(path: Path) -> None:
    """Undo or finish what a process was changing in the file when it died.

    SQLite does so by itself, but only for who may write.

    Raises:
        RunUnwritable: If the disk does not take it.
    """
    if not path.with_name(f"{path.name}-journal").is_file():
        return
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError as error:
        if not _of_content(error):
            raise RunUnwritable(f"{path} cannot be written: {error}") from error


@contextlib.contextmanager
def reading(path: Path, torn: bool = False) -> Iterator[sqlite3.Connection]:
    """The database, read only; a torn one, of which SQLite reads nothing, as far as it goes."""
    if path.is_file() and not path.stat().st_size:
        # SQLite, even reading only, deletes the log beside an empty file.
        raise sqlite3.DatabaseError("it is empty")
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        if torn:
            # The one thing that keeps SQLite from refusing a file shorter than its header says.
            database.execute("PRAGMA writable_schema=ON")
        yield database
    except UnicodeDecodeError as error:  # a name in the schema, or SQLite's own words about it
        raise sqlite3.DatabaseError(f"its schema is not text: {error.reason}") from error
    finally:
        database.close()


def _of_content(error: sqlite3.DatabaseError) -> bool:
    """Whether an error tells that the content of a file is damaged."""
    # Python's own complaint about a text that is none has no code; SQLite's have.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Texts(NamedTuple):
    """Texts as a database keeps them.

    Attributes:
        found: Name -> content of those that verify; none in a run of an earlier version.
        damage: Why there are not more; empty if nothing is wrong.
    """

    found: dict[str, str]
    damage: str


def read_texts(path: Path) -> Texts:
    """The texts that a run's database keeps; never raises, for there are files beside it."""
    found: dict[str, str] = {}
    try:
        with reading(path) as database:
            columns = "SELECT name, content, digest FROM texts"
            for name, content, digest in database.execute(columns):
                if not isinstance(content, str) or digest != _text_digest(name, content):
                    return Texts(found, f"its {name} does not verify")
                found[name] = content
    except sqlite3.DatabaseError as error:
        damaged = _of_content(error) or "no such column" in str(error)
        return Texts(found, str(error) if damaged else "")
    return Texts(found, "")


def count_rows(path: Path) -> int:
    """How many trials there are, without verifying any: an answer at once, however many.

    Raises:
        RunDamaged: If the file does not read.
    """
    _require_file(path)
    try:
        with reading(path) as database:
            found = database.execute("SELECT max(number) FROM trials").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise _refusal(path, error) from error
    return 0 if found is None else int(found) + 1


def failed_rows(path: Path) -> list[tuple[str, str]]:
    """Kind and reason of each trial without metrics, in order, without verifying any.

    Raises:
        RunDamaged: If the file does not read.
    """
    _require_file(path)
    try:
        with reading(path) as database:
            found = database.execute(
                "SELECT failure_kind, failure FROM trials WHERE failure_kind <> '' ORDER BY number"
            ).fetchall()
    except sqlite3.DatabaseError as error:
        raise _refusal(path, error) from error
    return [(str(kind), str(reason)) for kind, reason in found]


def _refusal(path: Path, error: sqlite3.DatabaseError) -> RunDamaged:
    """Why a file is not read, and what to do if that can be mended."""
    said = str(error)
    unfinished = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_ROLLBACK
    if unfinished:
        said = "a process died while it changed the file"
    hint = f"; {_remedy(path)}" if unfinished or _of_content(error) else ""
    return RunDamaged(f"{path} cannot be read: {said}{hint}")


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise RunDamaged(f"{path} is missing; {_remedy(path)}")


def _remedy(path: Path) -> str:
    """What to do about a database that is damaged."""
    return f"dse resume {path.parent} keeps what is sound and computes the rest again"
