"""engine/axes.py: the laws of joining, pairing, gathering."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.axes import AxisError, Gathering, Incoming, covers, join, pair_up, project, read_through
from engine.dag import Allowed, Axis, Hole, Link
from engine.spec import PairSpec

AXES = {
    **{name: Axis(name, "source", source=name) for name in ("photo", "ref", "row")},
    **{name: Axis(name, "matrix", values=(1, 2)) for name in ("a", "b")},
    "photo.dir": Axis("photo.dir", "group", "photo", "dir"),
    "row.kind": Axis("row.kind", "group", "row", "kind"),
}
MATCH = PairSpec("match", (), fields={"photo": "stem", "row": "id"})
ROW_OF_PHOTO = Link("row", "photo", "match", "id", "stem")


def incoming(*axes: str, gathered: bool = False) -> Incoming:
    return Incoming("wire", axes, gathered)


def test_inputs_join_on_the_axes_they_share():
    assert join([incoming("photo", "a"), incoming("photo"), incoming("b")], AXES).axes == (
        "photo",
        "a",
        "b",
    )


def test_a_step_adds_its_own_matrix_last():
    assert join([incoming("photo")], AXES, own=("a",)).axes == ("photo", "a")
    assert join([incoming("photo", "a")], AXES, own=("a",)).axes == ("photo", "a")


def test_strangers_do_not_meet_by_accident():
    with pytest.raises(AxisError, match=r"count\(photo\) x count\(ref\)") as caught:
        join([incoming("photo"), incoming("ref")], AXES)

    assert caught.value.key == "in"


def test_cross_keeps_both_axes():
    assert join([incoming("photo"), incoming("ref")], AXES, cross=True).axes == ("photo", "ref")


def test_axes_that_met_before_need_no_pair():
    assert join([incoming("photo", "ref"), incoming("ref")], AXES).axes == ("photo", "ref")


def test_a_third_axis_is_a_stranger_even_through_a_shared_one():
    with pytest.raises(AxisError, match="'photo' and 'row' meet"):
        join([incoming("photo", "ref"), incoming("ref", "row")], AXES)


def test_a_needless_cross_is_told():
    with pytest.raises(AxisError, match="nothing to pair"):
        join([incoming("photo"), incoming("photo", "a")], AXES, cross=True)


def test_zip_reads_the_others_through_the_first():
    inputs = [incoming("photo"), incoming("ref", "a")]

    links = pair_up(inputs, AXES, pair=PairSpec("zip", ()))

    assert links == (Link("ref", "photo"),)
    assert join(inputs, AXES, links).axes == ("photo", "a")


def test_match_by_one_field_ties_all_sources():
    inputs = [incoming("photo"), incoming("ref"), incoming("row")]

    links = pair_up(inputs, AXES, pair=PairSpec("match", (), field="stem"))

    assert [(link.source, link.axis, link.field) for link in links] == [
        ("ref", "photo", "stem"),
        ("row", "photo", "stem"),
    ]


def test_match_by_names_picks_the_two_that_belong_together():
    inputs = [incoming("photo", "ref"), incoming("row")]

    links = pair_up(inputs, AXES, pair=MATCH)

    assert links == (ROW_OF_PHOTO,)
    assert join(inputs, AXES, links).axes == ("photo", "ref")


@pytest.mark.parametrize(
    ("inputs", "pair", "message"),
    [
        ([incoming("photo"), incoming("photo")], PairSpec("zip", ()), "nothing to pair"),
        ([incoming("photo", "ref"), incoming("row")], PairSpec("zip", ()), "photo x ref"),
        ([incoming("photo.dir"), incoming("row")], PairSpec("zip", ()), "single sources"),
        ([incoming("photo"), incoming("ref")], MATCH, "no source axis 'row'"),
        ([incoming("photo", "row")], MATCH, "already together"),
    ],
)
def test_pairs_that_do_not_fit_are_told(inputs, pair, message):
    with pytest.raises(AxisError, match=message) as caught:
        pair_up(inputs, AXES, pair=pair)

    assert caught.value.key == "pair"


def test_a_link_travels_on():
    links = pair_up([incoming("photo"), incoming("row")], AXES, (ROW_OF_PHOTO, ROW_OF_PHOTO))

    assert links == (ROW_OF_PHOTO,)
    assert join([incoming("photo"), incoming("row")], AXES, links).axes == ("photo",)


def test_two_pairings_of_one_source_do_not_mix():
    with pytest.raises(AxisError, match="two different ways"):
        pair_up([], AXES, (ROW_OF_PHOTO, Link("row", "photo")))


def test_gather_removes_an_axis():
    joined = join([incoming("photo", "a", gathered=True)], AXES, gathering=Gathering(("photo",)))

    assert joined.axes == ("a",)
    assert joined.members == ("photo", "a")


def test_gather_by_a_field_leaves_groups():
    by = Gathering(("photo", "a"), Hole("field", "photo", "dir"))

    assert join([incoming("photo", "a", gathered=True)], AXES, gathering=by).axes == ("photo.dir",)


def test_gather_by_a_paired_table_leaves_its_groups():
    by = Gathering(("photo",), Hole("field", "row", "kind"))
    joined = join([incoming("photo", gathered=True)], AXES, (ROW_OF_PHOTO,), gathering=by)

    assert joined.axes == ("row.kind",)
    assert joined.links == (ROW_OF_PHOTO,)


def test_paired_labels_are_gathered_with_their_codes():
    inputs = [incoming("photo", gathered=True), incoming("row", gathered=True)]
    links = pair_up(inputs, AXES, pair=MATCH)

    assert join(inputs, AXES, links, gathering=Gathering(("photo",))).axes == ()


def test_gathered_strangers_make_a_product_too():
    inputs = [incoming("photo", gathered=True), incoming("ref", gathered=True)]

    with pytest.raises(AxisError, match="meet here"):
        join(inputs, AXES, gathering=Gathering(("photo", "ref")))


def test_a_group_meets_its_own_items():
    assert join([incoming("photo.dir"), incoming("photo", "a")], AXES).axes == ("photo", "a")
    assert join([incoming("photo.dir", "ref"), incoming("photo")], AXES).axes == ("ref", "photo")


def test_a_group_and_a_stranger_need_a_pair():
    with pytest.raises(AxisError, match=r"'photo\.dir' and 'ref' meet"):
        join([incoming("photo.dir"), incoming("ref")], AXES)


def test_what_is_known_of_an_item():
    assert covers(("photo", "a"), (ROW_OF_PHOTO,), AXES) == {
        *("photo", "a", "row", "photo.dir", "row.kind")
    }
    assert covers(("photo.dir",), (), AXES) == {"photo.dir"}


def test_allowed_combinations_follow_the_axes_that_are_left():
    rule = Allowed(("a", "b"), frozenset({(0, 0), (1, 0), (1, 1)}))

    assert project([rule, rule], ("b", "a", "photo")) == (rule,)
    assert project([rule], ("photo", "b")) == (Allowed(("b",), frozenset({(0,), (1,)})),)
    assert project([rule], ("photo",)) == ()


NAMES = st.lists(st.sampled_from(sorted(AXES)), max_size=4, unique=True)


@given(st.lists(NAMES, max_size=4), st.randoms())
def test_the_order_of_inputs_changes_no_axes(parts, random):
    inputs = [incoming(*part) for part in parts]
    shuffled = random.sample(inputs, len(inputs))
    try:
        axes = join(inputs, AXES).axes
    except AxisError:
        with pytest.raises(AxisError):
            join(shuffled, AXES)
    else:
        assert set(join(shuffled, AXES).axes) == set(axes)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_joining_is_idempotent(parts):
    inputs = [incoming(*part) for part in parts]
    try:
        axes = join(inputs, AXES).axes
    except AxisError:
        assume(False)

    assert join([incoming(*axes)], AXES).axes == axes
    assert set(join([*inputs, incoming(*axes)], AXES).axes) == set(axes)


@given(NAMES, st.sets(st.sampled_from(["photo", "ref", "a", "b"])))
def test_gathering_removes_what_it_names_and_nothing_else(names, over):
    before = read_through(tuple(names), (), AXES)
    after = join([incoming(*names, gathered=True)], AXES, gathering=Gathering(tuple(over))).axes

    assert set(after) == set(before) - over
