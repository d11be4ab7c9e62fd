"""Databases open, refuse, or are replaced."""

import sqlite3
from pathlib import Path

import pytest

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


def test_a_temporary_folder_is_not_on_the_network(tmp_path: Path) -> None:
    assert not database.is_network(tmp_path)
