"""An optimizer's arguments as text: never torn, whatever is inside brackets and quotes."""

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from lib_singlelora.errors import SettingsError
from lib_singlelora.settings.declare import join_list, split_list
from lib_singlelora.settings.optimizer_arguments import (
    join_arguments,
    parse_arguments,
    split_arguments,
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("d_coef=2; betas=(0.9, 0.99)", {"d_coef": 2, "betas": (0.9, 0.99)}),
        (
            "decouple=True weight_decay=0.01 betas=(0.9, 0.99) d_coef=2",
            {"decouple": True, "weight_decay": 0.01, "betas": (0.9, 0.99), "d_coef": 2},
        ),
        ("betas=0.9,0.99 weight_decay=0.1", {"betas": (0.9, 0.99), "weight_decay": 0.1}),
        ("betas=0.9, 0.99, weight_decay=0.1", {"betas": (0.9, 0.99), "weight_decay": 0.1}),
        ('"betas=(0.9, 0.99)" "eps=1e-8"', {"betas": (0.9, 0.99), "eps": 1e-8}),
        ("betas = (0.9, 0.99) ; eps = 1e-8", {"betas": (0.9, 0.99), "eps": 1e-8}),
        (
            "a=[(1, 2), {'b': 'c; d=e'}]; f='x=1, y=2'",
            {"a": [(1, 2), {"b": "c; d=e"}], "f": "x=1, y=2"},
        ),
        (
            "decouple=true, fused=FALSE\nbeta3=none",
            {"decouple": True, "fused": False, "beta3": None},
        ),
        ("", {}),
        (" ; ", {}),
    ],
)
def test_arguments_are_read_as_meant(text: str, wanted: dict[str, object]) -> None:
    assert parse_arguments(text) == wanted
    assert parse_arguments(join_arguments(split_arguments(text))) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "betas",
        "betas=(0.9",
        "a=1; =2",
        "betas=0.9)",
        "name='x",
        "a=b c",
        "a==1",
        "2a=1",
        "a=",
        "a=O.9",
    ],
)
def test_what_cannot_be_read_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match="NAME=VALUE") as caught:
        parse_arguments(text)
    assert "\n" not in str(caught.value)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-99, 99)
    | st.floats(-9, 9)
    | st.text("ab=;, ()[]{}\"'\\é", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text("ab;= ", max_size=3), inner, max_size=2)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True), VALUES, max_size=4))
def test_any_arguments_survive_the_text_and_a_list_of_texts(arguments: dict[str, object]) -> None:
    text = join_arguments((key, repr(value)) for key, value in arguments.items())
    assert parse_arguments(text) == arguments
    assert [parse_arguments(each) for each in split_list(join_list([text])) if text.strip()] == (
        [arguments] if arguments else []
    )
