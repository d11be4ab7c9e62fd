import pytest

from engine.console import MOST_ITEM_LINES, Screen, progress_line

COUNTS = {
    "face": {"items": 4, "done": 3, "cached": 0, "quarantined": 1, "skipped": 0, "to_run": 0},
    "code": {"items": 1200, "done": 2, "cached": 0, "quarantined": 0, "skipped": 0, "to_run": 1198},
}


def test_a_line_tells_what_is_left_and_how_long_it_takes() -> None:
    line = progress_line(COUNTS, 10.0)
    assert "code 2/1\u202f200" in line
    assert "face" not in line
    assert "0.5 items/s" in line
    assert "about 39 min 56 s left" in line
    assert "1 item set aside" in line


def test_a_line_tells_parts_of_long_items() -> None:
    strip = {"items": 2, "done": 1, "cached": 0, "quarantined": 0, "skipped": 0, "to_run": 1}
    line = progress_line({"strip": strip}, 150.0, {"strip": 0.5, "gone": 3.0})
    assert "strip 1/2 + 50%" in line
    assert "about 50 s left" in line  # one and a half took 150 s
    assert "items/s" not in line
    assert "+" not in progress_line({"strip": strip}, 150.0)


def test_nobody_knows_how_long_a_step_takes_that_has_not_begun() -> None:
    later = {"items": 9, "done": 0, "cached": 0, "quarantined": 0, "skipped": 0, "to_run": 9}
    line = progress_line({**COUNTS, "edited": later}, 10.0)
    assert "edited 0/9" in line
    assert "0.5 items/s" in line
    assert "left" not in line


def test_everything_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen() as screen:
        screen.say("[bold] is not markup")
        screen.show(COUNTS)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "[bold] is not markup\n"


def test_quiet_leaves_only_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen(quiet=True) as screen:
        screen.say("chatter")
        screen.warn("important")
    assert capsys.readouterr().err == "important\n"


def test_many_items_are_left_to_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen() as screen:
        for number in range(MOST_ITEM_LINES + 30):
            screen.item(f"item {number}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == MOST_ITEM_LINES + 1
    assert "report" in lines[-1]


def test_a_terminal_gets_bars(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Screen() as screen:
        screen.show(COUNTS)
    err = capsys.readouterr().err
    assert "4/4" in err
    assert "1 set aside" in err
