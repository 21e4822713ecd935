"""Tables for a terminal."""

from socksfusion.manhole.tables import table


def test_columns_are_as_wide_as_they_need_and_numbers_stand_right() -> None:
    assert table([["a", 5], ["longer", 1000]], ["name", "n"]) == "\n".join(
        ["name       n", "------  ----", "a          5", "longer  1000"]
    )


def test_nothing_to_show() -> None:
    assert table([], ["name", "n"]) == "name  n\n----  -\n(none)"


def test_c6_a_cell_cant_control_the_terminal() -> None:
    shown = table([["\x1b[2Jevil\n"]], ["name"])
    assert "\x1b" not in shown
    assert shown.splitlines()[-1] == "\\x1b[2Jevil\\x0a"
