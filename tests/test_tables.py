"""Tables fit their width, lose nothing, and take text as it is."""

from __future__ import annotations

from genoslim.tables import WIDTH, table

HEADS = ["model", "layers", "note"]


def test_numbers_stand_right_and_words_left() -> None:
    head, _, first, second = table(HEADS, [["full", "12", "x"], ["slim", "3", "y"]]).splitlines()
    assert head.split() == HEADS
    assert first.index("12") + 1 == second.index("3")
    assert first.index("full") == second.index("slim") == 0


def test_a_long_cell_folds_within_80_columns_and_nothing_is_lost() -> None:
    words = [f"word{i}" for i in range(40)]
    text = table(HEADS, [["full", "12", " ".join(words)]])
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert [word for word in text.split() if word.startswith("word")] == words


def test_numbers_stay_whole_where_words_can_fold() -> None:
    heads = ["model", *(f"figure {i}" for i in range(6))]
    text = table(heads, [["a_long_name_of_a_model" * 2, *["1,234.5"] * 6]])
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert text.split().count("1,234.5") == 6
    assert text.splitlines()[0].split() == " ".join(heads).split()


def test_a_cell_is_text_and_no_markup() -> None:
    assert "[bold]x[/]" in table(HEADS, [["[bold]x[/]", "1", ""]])


def test_no_rows_is_the_head_alone() -> None:
    assert table(HEADS, []).splitlines()[0].split() == HEADS


def test_without_heads_rows_stand_alone() -> None:
    assert table(["", ""], [["family", "nt"], ["licence", "MIT"]]).splitlines() == [
        "family   nt",
        "licence  MIT",
    ]
