from hypothesis import given
from hypothesis import strategies as st

from tierline_cartography import Row
from tierline_cartography.data.phrases import distinct, index_of, key, phrases_in, sentences, without_leaks
from tierline_cartography.data.splits import deal
from tierline_models import normalise

WORDS = st.sampled_from(["a", "bad", "film", "is", "no", "fun"])
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
ROWS = st.lists(TEXTS.map(lambda text: Row(text, 0)), max_size=12)


def padded(text: str) -> str:
    return f" {text} "


@given(ROWS, ROWS)
def test_nothing_left_is_a_phrase_of_what_is_held_out_or_holds_any_of_it(rows, held):
    kept = without_leaks(rows, held)

    for row in rows:
        leaks = any(
            padded(row.text) in padded(other.text) or padded(other.text) in padded(row.text) for other in held
        )
        assert (row in kept) != leaks


@given(ROWS)
def test_whole_sentences_are_those_that_no_other_text_holds(rows):
    closed = [Row(f"{row.text} .", 0) for row in rows]

    for row in sentences(closed):
        assert not any(
            key(other.text) != key(row.text) and padded(row.text[:-2]) in padded(other.text)
            for other in closed
        )


@given(st.text(max_size=40))
def test_the_key_of_a_text_is_what_models_makes_of_it(text):
    assert key(text.replace("lrb", "").replace("rrb", "")) == normalise(
        text.replace("lrb", "").replace("rrb", "")
    )


def test_spelling_case_accents_and_brackets_do_not_hide_a_phrase():
    index = index_of(["Off-beat CLICHÉ (twice)"])

    assert list(phrases_in("an off beat cliche -lrb- twice -rrb- !", index)) == ["offbeatclichetwice"]


def test_a_phrase_ends_where_a_word_ends():
    assert not list(phrases_in("a badly made film", index_of(["bad"])))


def test_a_text_counts_once_and_one_without_words_not_at_all():
    assert distinct([Row("Bad.", 0), Row("bad", 1), Row("...", 0)]) == [Row("Bad.", 0)]


@given(ROWS)
def test_rows_of_one_group_are_dealt_together(rows):
    chosen, rest = deal(rows, 50, group=lambda row: row.text.split()[0])

    assert sorted([*chosen, *rest], key=repr) == sorted(rows, key=repr)
    assert not {row.text.split()[0] for row in chosen} & {row.text.split()[0] for row in rest}
