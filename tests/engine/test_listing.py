"""Packed listings hold what they were given, in order, and learn digests."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dag import SourceItem
from engine.listing import Contents, Found, Listing
from engine.natural import natural

WORDS = st.text("ab019.-é\udce9", min_size=1, max_size=5).filter(lambda w: w not in (".", ".."))
NAMES = st.lists(st.lists(WORDS, min_size=1, max_size=3).map("/".join), unique=True)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@given(NAMES)
def test_what_goes_in_comes_out_in_natural_order(names: list[str]) -> None:
    found = [Found(n, f"/base/{n}", (i, -i, 2**64 - 1 - i)) for i, n in enumerate(names)]
    listing = Listing("/base", found)
    assert [listing.name(i) for i in range(len(listing))] == sorted(
        names, key=lambda name: (natural(name), name)
    )
    by_path = {file.path: file for file in found}
    for i, item in enumerate(listing):
        assert item.index == item.fields["index"] == i
        assert (item.size, item.mtime_ns, item.inode) == by_path[item.path].stat
        assert listing.find(item.path) == item
        assert item.fields["rel"] + item.fields["ext"] == listing.name(i)
    assert listing.find("/base/none at all") is None
    assert listing[:2] == tuple(listing)[:2]


def test_a_broken_link_has_no_stat() -> None:
    (item,) = Listing("/base", [Found("a.jpg", "/base/a.jpg", None)])
    assert (item.path, item.size, item.mtime_ns, item.inode) == ("/base/a.jpg", 0, 0, 0)


def test_digests_are_learned_once() -> None:
    listing = Listing("/b", [Found(f"{i}.jpg", f"/b/{i}.jpg", (1, 1, 1)) for i in range(3)])
    listing.learn(1, digest("one"))
    contents: Contents[int] = Contents(listing)
    assert list(contents.unread()) == [0, 2]
    assert contents.learn(0, digest("zero"))
    assert not contents.learn(0, digest("other"))
    assert contents.learn(2, 7)
    assert [contents[i] for i in range(3)] == [digest("other"), digest("one"), 7]
    assert listing[1].identity == digest("one")


@pytest.mark.parametrize("identity", ["", "value:1"])
def test_items_of_any_source_have_contents(identity: str, tmp_path: Path) -> None:
    contents: Contents[int] = Contents((SourceItem(0, {}, identity, str(tmp_path)),))
    assert contents[0] == (identity or None)
    assert contents.learn(0, "d") == (not identity)
    assert contents[0] == "d"
