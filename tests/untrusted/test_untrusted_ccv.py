"""Model files of ccv from strangers: SQLite files, of which no SQL is run."""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model.files_of_ccv import LAYERS, SCHEMA, change, make_file
from untrusted.damage import damaged, outcome

from denet.errors import DataError
from denet.model.format import load_model, save_model
from denet.model.format.database import open_database
from denet.model.model import Model
from denet.report.layers import layers_report

COLUMNS = [word.split()[0] for word in SCHEMA.split("(", 1)[1].split(");")[0].split(",")][1:]
VALUES = (
    *("NULL", "-1", "0", "1", "2", "3", "5", "65536", "2147483648", "-9223372036854775808"),
    *("9223372036854775807", "1e999", "-1e999", "0.5", "1e308", "''", "'conv'", "x'00'"),
    *(
        "zeroblob(100000)",
        "char(27) || '[2J' || char(10)",
        "hex(zeroblob(50000))",
        "CAST(x'ff' AS TEXT)",
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ccv")


def file_of_ccv() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        return make_file(Path(directory) / "a.sqlite3").read_bytes()


FILE = file_of_ccv()


def read(folder: Path, content: bytes, *statements: str) -> Any:
    """Read a file, and use what was read in every way that shows or keeps it."""
    path = folder / "stranger.sqlite3"
    path.write_bytes(content)
    if statements:
        change(path, *statements)

    def use() -> Model:
        model = load_model(path)
        layers_report(model, 1)
        save_model(model, folder / "again.mdl")
        return model

    found = outcome(use, str(path))
    assert isinstance(found, Model | DataError), found
    return found


@given(st.binary(max_size=200))
def test_noise(folder: Path, content: bytes) -> None:
    assert isinstance(read(folder, b"SQLite format 3\0" + content), DataError)


@given(damaged(FILE))
def test_a_damaged_file(folder: Path, content: bytes) -> None:
    read(folder, content)


@given(damaged(FILE[:8192]))
def test_a_damaged_schema(folder: Path, start: bytes) -> None:
    read(folder, start + FILE[8192:])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(COLUMNS), st.sampled_from(VALUES), st.integers(0, len(LAYERS) - 1)
        ),
        min_size=1,
        max_size=3,
    )
)
def test_other_layers(folder: Path, changes: list[tuple[str, str, int]]) -> None:
    statements = [
        f"UPDATE layer_params SET {column} = {value} WHERE layer = {layer}"
        for column, value, layer in changes
    ]
    read(folder, FILE, *statements)


@given(
    st.sampled_from(["layer_data weight", "layer_data bias", "layer_data half_precision"])
    | st.sampled_from([f"convnet_params {n}" for n in ("input_height", "mean_activity")]),
    st.sampled_from(VALUES),
)
def test_other_weights(folder: Path, place: str, value: str) -> None:
    table, column = place.split()
    read(folder, FILE, f"UPDATE {table} SET {column} = {value}")


def test_the_file_itself_is_read(folder: Path) -> None:
    assert isinstance(read(folder, FILE), Model)


def rewritten(path: Path, name: str, **values: Any) -> None:
    """Change the row of the schema that has this name, as only a stranger would."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        for column, value in values.items():
            connection.execute(
                f"UPDATE sqlite_master SET {column} = ? WHERE name = ?", [value, name]
            )


VIEW = "CREATE VIEW layer_params AS SELECT zeroblob(900000000) layer"
SCHEMAS: dict[str, dict[str, Any]] = {
    "a view that says it is a table": {"sql": VIEW},
    "a view without pages": {"sql": VIEW, "rootpage": 0},
    "a virtual table": {"sql": "CREATE VIRTUAL TABLE layer_params USING dbstat"},
    "no SQL": {"sql": "x\x1b[2J"},
    "pages of another table": {"rootpage": 3},
    "pages beyond the file": {"rootpage": 1 << 30},
    "its own schema": {"rootpage": 1},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_that_lies(folder: Path, name: str) -> None:
    path = folder / "liar.sqlite3"
    path.unlink(missing_ok=True)
    rewritten(make_file(path), "layer_params", **SCHEMAS[name])
    assert isinstance(read(folder, path.read_bytes()), DataError)


def test_rows_that_share_their_blob_are_bounded_by_the_file(tmp_path: Path) -> None:
    """Six rows, whose pages lie one behind the other, are made to end in those of the first."""
    # numbers of https://sqlite.org/fileformat2.html: what of a row lies on the page of its table
    page, on_page, before = 4096, 489, 4
    size = on_page + 24 * (page - 4) - 5  # and five bytes of header
    path = tmp_path / "a.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (layer INTEGER PRIMARY KEY, weight BLOB)")
        for layer in range(6):
            connection.execute("INSERT INTO t VALUES (?, zeroblob(?))", [layer, size])
        ((root,),) = connection.execute("SELECT rootpage FROM sqlite_master")
    content = bytearray(path.read_bytes())
    leaf = (root - 1) * page
    cells = struct.unpack_from(">6H", content, leaf + 8)
    places = [leaf + cell + before + on_page for cell in cells]
    first, second = (struct.unpack_from(">I", content, place)[0] for place in places[:2])
    for place in places:
        struct.pack_into(">I", content, place, first)
    struct.pack_into(">I", content, 28, second - 1)  # pages of the file
    path.write_bytes(content[: (second - 1) * page])
    with open_database(str(path)) as database:
        rows = database.records("t", "layer", [], ["weight"], 9)
        assert [row.integer("weight") for row in rows.values()] == [size] * 6
        assert path.stat().st_size < 2 * size
        assert database.blob("t", "layer", 5, "weight", size) == bytes(size)  # that of the first
        with pytest.raises(DataError, match="larger than the file"):
            database.blob("t", "layer", 4, "weight", size)
