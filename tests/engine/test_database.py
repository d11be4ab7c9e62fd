"""Databases open, refuse, or are replaced."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import database
from engine.errors import StoreError

SCHEMA = "CREATE TABLE a (x INTEGER); CREATE TABLE b (y INTEGER)"


def test_a_database_is_made_once(tmp_path: Path) -> None:
    first, new = database.open_database(tmp_path / "x" / "db", SCHEMA, 1)
    second, newer = database.open_database(tmp_path / "x" / "db", SCHEMA, 1)
    assert (new, newer) == (True, False)
    first.execute("INSERT INTO a VALUES (1)")
    assert second.execute("SELECT x FROM a").fetchall() == [(1,)]
    reader = database.open_for_reading(tmp_path / "x" / "db")
    assert reader.execute("SELECT x FROM a").fetchall() == [(1,)]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO a VALUES (1)")
    for connection in (first, second, reader):
        connection.close()


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    db, _ = database.open_database(tmp_path / "db", SCHEMA, 1)
    with pytest.raises(sqlite3.ProgrammingError), database.transaction(db):
        db.executemany("INSERT INTO a VALUES (?)", [(1,), (object(),)])
    assert db.execute("SELECT * FROM a").fetchall() == []
    db.close()


def test_there_is_nothing_to_read_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        database.open_for_reading(tmp_path / "none" / "db")


def test_damage_is_no_lock_and_no_full_disk() -> None:
    assert database.is_damage(sqlite3.DatabaseError("malformed"))
    assert not database.is_damage(sqlite3.OperationalError("database is locked"))


def test_text_that_cannot_be_decoded_and_tables_that_went_are_damage() -> None:
    assert database.is_damage(sqlite3.OperationalError("Could not decode to UTF-8 column 'row'"))
    assert database.is_damage(sqlite3.OperationalError("no such table: records"))
    assert database.is_damage(UnicodeDecodeError("utf-8", b"\xab", 0, 1, "invalid start byte"))


def test_a_database_that_nobody_may_read_is_set_aside(
    open_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    folder = open_folder / "store"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with unprivileged():
        db, _ = database.open_database(folder / "db", SCHEMA, 1)
        db.close()
        (folder / "db").chmod(0)
        db, new = database.open_database(folder / "db", SCHEMA, 1)
        assert new
        db.close()
        assert list(folder.glob("db.damaged-*"))


@given(text=st.text(), place=st.integers(0), other=st.characters(categories=["L", "N"]))
def test_a_seal_tells_an_altered_text(text: str, place: int, other: str) -> None:
    sealed = database.seal(text)
    assert database.unseal(sealed) == text
    place %= len(sealed)
    altered = sealed[:place] + other + sealed[place + 1 :]
    if altered != sealed:
        with pytest.raises(sqlite3.DatabaseError, match="altered"):
            database.unseal(altered)


def test_a_temporary_folder_is_not_on_the_network(tmp_path: Path) -> None:
    assert not database.is_network(tmp_path)
