"""Cells become numbers where the whole column is numbers."""

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.rows import read_rows


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_are_typed_as_a_whole(tmp_path: Path) -> None:
    text = (
        "\ufeffid, age,smile,name,glasses,code\n"
        "007,31,0.5,Anna,true,1\n"
        '012,,-1e-3,"Öz, Can",False,x\n'
        "\n"
        "1,5,.25,,TRUE,nan\n"
    )
    assert read_rows(table(tmp_path, text)) == [
        {"id": "007", "age": 31, "smile": 0.5, "name": "Anna", "glasses": True, "code": "1"},
        {
            "id": "012",
            "age": None,
            "smile": -0.001,
            "name": "Öz, Can",
            "glasses": False,
            "code": "x",
        },
        {"id": "1", "age": 5, "smile": 0.25, "name": "", "glasses": True, "code": "nan"},
    ]


@pytest.mark.parametrize(
    "cell", ["1_000", "0x10", "1.2.3", "-", ".", "e5", "１", "nan", "inf", "1,5"]
)
def test_odd_numbers_stay_text(tmp_path: Path, cell: str) -> None:
    assert read_rows(table(tmp_path, f'a\n"{cell}"\n')) == [{"a": cell}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1\n", r"table.csv:2: 1 cells, but the first line names 2"),
        ("a\n1,2\n", ":2: 2 cells"),
    ],
)
def test_a_ragged_row_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_rows(table(tmp_path, text))


def test_a_table_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_rows(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="utf-8"):
        read_rows(table(tmp_path, "naïve\nä\n", "utf-16"))


def test_a_table_without_rows_is_empty(tmp_path: Path) -> None:
    assert read_rows(table(tmp_path, "a,b\n")) == []
