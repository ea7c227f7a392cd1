"""SQLite files of strangers: plain tables are read, nothing that such a file can hold is run.

Views, triggers, virtual tables and computed columns are refused: they would run SQL of the file.
What is fetched is bounded by the size of the file, also where records share their pages.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denet.errors import DataError
from denet.model.format.content import open_file, told
from denet.model.format.record import Record

if TYPE_CHECKING:
    import sqlite3

SETTINGS = ("trusted_schema = OFF", "cell_size_check = ON")
PLAIN = ("CREATE TABLE%", "CREATE INDEX %", "CREATE UNIQUE INDEX %")
ACTIVE = "SELECT count(*) FROM sqlite_master WHERE " + " AND ".join(
    f"sql NOT LIKE '{start}'" for start in PLAIN
)
# a text or blob in the place of a number is not fetched: its type stands for it
NUMBER = "CASE WHEN typeof({0}) IN ('text', 'blob') THEN typeof({0}) ELSE {0} END AS {0}"
LENGTH = "CASE typeof({0}) WHEN 'blob' THEN length({0}) WHEN 'null' THEN NULL ELSE '' END AS {0}"


class Database:
    """The tables of an open file; their rows are told apart by the column ``key``."""

    def __init__(self, connection: sqlite3.Connection, source: str):
        self._connection, self._source = connection, source
        self._unread = os.path.getsize(source)

    def records(
        self, table: str, key: str, numbers: Sequence[str], blobs: Sequence[str], most: int
    ) -> dict[int, Record]:
        """Return the rows by their key, in its order: numbers, and for each blob its length.

        Raises DataError where table or columns are absent, or there are more rows than ``most``.
        """
        self._check_columns(table, [key, *numbers, *blobs])
        wanted = [NUMBER.format(name) for name in (key, *numbers)] + [
            LENGTH.format(name) for name in blobs
        ]
        rows = self._all(f"SELECT {', '.join(wanted)} FROM main.{table} LIMIT {most + 1}")
        if len(rows) > most:
            raise self.fault(f"more than {most} rows in table {table!r}")
        found = {
            number: Record(
                dict(zip((*numbers, *blobs), values, strict=True)),
                f"{self._source}, {table}, {key} {number}",
            )
            for number, *values in rows
            if isinstance(number, int)
        }
        if len(found) < len(rows):
            raise self.fault(f"{key!r} of table {table!r} does not number its rows")
        return dict(sorted(found.items()))

    def blob(self, table: str, key: str, number: int, column: str, size: int) -> bytes:
        """Return a blob, of which ``records`` told the length; DataError where it is not so."""
        self._unread -= size
        if self._unread < 0:  # pages of one blob may serve another
            raise self.fault("the blobs are larger than the file")
        ((content,),) = self._all(f"SELECT {column} FROM main.{table} WHERE {key} = {number}")
        if not isinstance(content, bytes) or len(content) != size:
            raise self.fault(f"{column!r} of {table}, {key} {number} is not a blob of {size} bytes")
        return content

    def fault(self, what: str) -> DataError:
        """Return the error that says ``what`` is wrong with the file."""
        return DataError(f"damaged model file: {self._source}: {what}")

    def check_plain(self) -> None:
        """Raise DataError if the file holds anything that runs SQL of its own."""
        ((active,),) = self._all(ACTIVE)
        if active:
            raise self.fault("it holds views, triggers or virtual tables, a model holds none")

    def _check_columns(self, table: str, names: Sequence[str]) -> None:
        columns = self._all(f"PRAGMA main.table_xinfo({table})")
        hidden = {str(column[1]).lower(): column[6] for column in columns}
        if not hidden:
            raise self.fault(f"no table {table!r}: it is no model of ccv")
        for name in names:
            if name not in hidden:
                raise self.fault(f"no column {name!r} in table {table!r}")
            if hidden[name]:
                raise self.fault(f"column {name!r} of table {table!r} is computed")

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()


@contextmanager
def open_database(source: str) -> Iterator[Database]:
    """Open an SQLite file to read its tables. Raises DataError, also for a fault met later on."""
    import sqlite3

    open_file(source).close()
    uri = f"{Path(source).absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            for setting in SETTINGS:
                connection.execute(f"PRAGMA {setting}")
            database = Database(connection, source)
            database.check_plain()
            yield database
    except sqlite3.Error as error:
        raise DataError(
            f"damaged model file: {source}: {told(error)}; take another copy"
        ) from error
