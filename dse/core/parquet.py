"""Parquet, read whole; the library is imported when a file is read."""

from pathlib import Path
from typing import Any

from dse.core.errors import MissingDependency
from dse.core.extras import install


def read_parquet(path: Path, name: str) -> dict[str, list[Any]]:
    """The columns of a Parquet file as lists of Python values.

    Args:
        path: Of the file.
        name: What an error calls it.

    Raises:
        MissingDependency: If pyarrow is not installed.
        ValueError: If the file is not Parquet.
        OSError: If it cannot be read.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependency(
            f"{name}: Parquet needs pyarrow: {install('parquet')}; or give CSV"
        ) from error
    try:
        # The library's own threads may outlive a short command, which then aborts at its very end.
        table = pyarrow.parquet.read_table(path, use_threads=False, pre_buffer=False)
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error
    return {column: table.column(column).to_pylist() for column in table.column_names}
