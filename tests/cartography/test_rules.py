"""Rules and verdicts on made records, where what depth is worth is known."""

from dataclasses import replace

import numpy as np
import pytest

from tierline_cartography import (
    Part,
    PoolError,
    Prices,
    RecordError,
    chart,
    gain_rule,
    hindsight,
    load_records,
    pooled,
    promises,
    published_costs,
    routed,
    save_records,
    shifts,
)
from tierline_cartography.analysis import rules
from tierline_cartography.analysis.rules import follow
from tierline_cartography.analysis.said import UNLABELLED, Said, softmax, temperatures
from tierline_cartography.analysis.shifting import as_mixed
from tierline_cartography.analysis.stopping import OURS
from tierline_cartography.analysis.verdicts import (
    AllCloud,
    _foreseen,
    at_equal_drop,
    freeze,
    seal,
    strongest,
    strongest_exit,
)
from tierline_models import Cartography, Spoken, judge

EXITS = (2, 4, 6)


def said_with(odds: list[list[float]]) -> Said:
    """One seed; by exit and sample the log odds of class 1, which is the true one."""
    array = np.array(odds)
    return Said(EXITS, np.ones(array.shape[1], dtype=int), softmax(np.stack([0 * array, array], -1))[None])


def test_thresholds_stop_at_the_first_exit_that_is_sure():
    said = said_with([[3.0, 0.1, 0.1], [0.0, 3.0, 0.2], [0.0, 0.0, 0.3]])

    assert rules.one_threshold().choose(said, 0.9).tolist() == [[0, 1, 2]]
    assert rules.two_thresholds().choose(said, (0.99, 0.9)).tolist() == [[2, 1, 2]]
    assert rules.entropy().choose(said, 0.3).tolist() == [[0, 1, 2]]


def test_patience_counts_exits_that_agree():
    said = said_with([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0], [1.0, 1.0, -1.0]])

    assert rules.patience().choose(said, 0).tolist() == [[0, 0, 0]]
    assert rules.patience().choose(said, 1).tolist() == [[1, 2, 2]]
    assert rules.patience().choose(said, 2).tolist() == [[2, 2, 2]]


def test_the_oracle_takes_the_first_exit_that_is_right_and_the_first_of_all_if_none_is():
    said = said_with([[1.0, -1.0, -1.0], [1.0, 1.0, -1.0], [1.0, 1.0, -1.0]])

    assert rules.oracle().choose(said, None).tolist() == [[0, 1, 0]]


def test_a_window_holds_the_share_that_stops_when_confidence_drifts():
    source = np.random.default_rng(0)
    before, after = source.uniform(0.6, 1.0, 1000), source.uniform(0.5, 0.7, 1000)
    confidence = np.stack([np.concatenate([before, after]), np.ones(2000)])

    stopped = follow(confidence, 0.6, 200) == 0

    assert stopped[200:1000].mean() == pytest.approx(0.6, abs=0.05)
    assert stopped[1300:].mean() == pytest.approx(0.6, abs=0.05)


def test_upper_confidence_bounds_find_the_exit_that_pays():
    sure = said_with([[4.0] * 3000, [4.0] * 3000, [4.0] * 3000])

    chosen = rules.split_ee().choose(sure, 0.9)

    assert (chosen[0, 1500:] == 0).mean() > 0.8


def test_going_up_is_expected_to_pay_only_where_depth_mends(validation, tested):
    chosen = gain_rule(validation).choose(tested, (6, 0.15, 2.0))  # a tenth, of each exit

    right = tested.right == 1
    mended = ~right[:, 0] & right[:, 1]
    lost = ~right.any(1)
    assert (chosen > 0)[mended].mean() > 2 * (chosen > 0)[lost].mean()
    assert tested.right_at(chosen).mean() > tested.right.mean((0, 2)).max() - 0.02
    assert (chosen == 0).mean() > 0.7


def test_the_more_is_wanted_of_depth_the_less_is_bought(validation, tested):
    rule = gain_rule(validation)

    layers = [tested.layers[rule.choose(tested, (6, one, 1.0))].mean() for one in (0.0, 0.1, 9.0)]

    assert layers[0] > layers[1] >= layers[2] == 2.0


def test_settings_are_frozen_without_a_look_at_the_test_set_and_sealed(validation, tested):
    listed = [rules.one_threshold(), rules.patience()]

    frozen = freeze(listed, validation, strongest(validation))

    assert set(frozen) == {"confidence, one threshold", "PABEE (patience)"}
    assert seal(frozen) == seal(dict(reversed(frozen.items())))
    assert seal(frozen) != seal({**frozen, "PABEE (patience)": 99})
    looser = freeze(listed, validation, strongest(validation), budget=3.0)
    name = listed[0].name
    kept = [listed[0].choose(tested, one[name]) for one in (frozen, looser)]
    assert tested.layers[kept[1]].mean() < tested.layers[kept[0]].mean()


def test_more_samples_to_be_judged_on_allow_a_thriftier_setting(validation, tested):
    rule = rules.one_threshold()

    few, many = (
        rule.choose(tested, freeze([rule], validation, strongest(validation), samples=count)[rule.name])
        for count in (100, 100_000)
    )

    assert tested.layers[many].mean() < tested.layers[few].mean()


def test_what_is_expected_of_answers_varies_less_than_what_is_counted(tested):
    first = np.zeros_like(tested.prediction[:, 0])
    expected, counted = tested.expected_at(first), tested.right_at(first)

    assert expected.mean() == pytest.approx(counted.mean(), abs=0.03)
    assert expected.var() < counted.var() / 2


def test_what_is_judged_is_what_nodes_route_by(records, validation, tested):
    part, scale = records.validation, temperatures(records, EXITS)
    chosen = gain_rule(validation).choose(tested, (6, 0.15, 2.0))

    for seed in range(2):
        found = chart(part.logits[seed], part.labels, EXITS, made={})
        assert [one.temperature for one in found.exits] == pytest.approx(scale[seed].tolist())
        for sample in range(150):
            assert stopped(found, records.test.logits[seed, :, sample], 0.1) == chosen[seed, sample]


def stopped(found: Cartography, logits: np.ndarray, wanted: float) -> int:
    """The place at which nodes answer that want so much of going on."""
    before = None
    for place, layer in enumerate(EXITS):
        spoken = Spoken(layer=layer, logits=tuple(map(float, logits[place])))
        seen = judge(found, spoken, before, EXITS[-1])
        if place == len(EXITS) - 1 or (seen is not None and seen.gain <= wanted):
            return place
        before = spoken
    raise AssertionError


def test_the_oracle_at_a_drop_gives_up_what_the_drop_allows():
    said = said_with([[-1.0] * 50 + [1.0] * 50, [-1.0] * 100, [1.0] * 100])

    last = said.right[:, 2].astype(float)
    full = AllCloud("", last, last)

    assert at_equal_drop(said, full, 0.0) == pytest.approx(0.5 * 2 / 3)
    assert at_equal_drop(said, full, 10.0) == pytest.approx(0.6 * 2 / 3)


def test_a_whole_evaluation_compares_every_rule_on_the_same_records(evaluation):
    found = evaluation

    assert set(found.outcomes) == {
        OURS, "confidence, one threshold", "confidence, two thresholds", "DeeBERT (entropy)",
        "PABEE (patience)", "SplitEE (UCB)", "RecServe (window quantile)", "random with a mix",
        "always exit k", "oracle", "DIMEC-DC (ambiguous)", "DIMEC-DC (hard-to-learn)", "DIMEE",
    }  # fmt: skip
    ours = found.outcomes[OURS]
    assert ours.drop.point < 1.0
    assert ours.drop.shown == (ours.drop.upper <= 0.5)
    assert ours.saved > 0.5
    assert ours.saved <= found.oracle_saved <= 2 / 3
    assert sum(ours.shares) == pytest.approx(1)
    assert found.corrected["DIMEE"] < 0.05
    assert found.ahead["DeeBERT (entropy)"].points > 0
    assert all(found.corrected[name] >= one.p_value for name, one in found.ahead.items())
    assert len(found.sealed) == 64


def test_hindsight_saves_no_less_than_what_was_frozen_and_still_shows_it(records, evaluation):
    best = hindsight(records, EXITS)[OURS]

    assert best.drop.shown
    frozen = evaluation.outcomes[OURS]
    assert best.saved >= frozen.saved or not frozen.drop.shown


def test_transfers_and_free_cloud_layers_change_what_is_saved(records):
    dear = published_costs(records, EXITS, 0.6)
    free = published_costs(records, EXITS, 0.1, free_cloud=True)

    assert dear[OURS].saved > 0.5
    assert Prices(offload=0.6).all_cloud(EXITS) == pytest.approx(1.2)
    assert free[OURS].saved < 0 < dear[OURS].saved  # where the cloud is free, sending all to it is cheapest


def test_promises_are_kept_in_all_but_a_few_calibration_sets(many_records):
    certain, expected = promises(many_records, EXITS, 1.0, sets=60)

    assert certain.broken <= 0.1  # 5 % is promised, of 60 sets
    assert 0.2 < certain.saved < expected.saved
    assert expected.method == "conformal risk control"


def test_a_stream_with_more_unsure_samples_is_planned_for_by_as_many_of_the_fitted():
    known = said_with([[4.0] * 40 + [1.0] * 40 + [0.1] * 40] * 3)
    harder = said_with([[4.0] * 10 + [1.0] * 10 + [0.1] * 20] * 3)

    mixed = as_mixed(known, harder)

    sure = mixed.confidence[0, 0]
    assert [(sure > 0.9).sum(), ((sure > 0.6) & (sure < 0.9)).sum(), (sure < 0.6).sum()] == [20, 20, 40]
    assert len(as_mixed(known, known).labels) == 120


def test_where_no_label_is_the_last_exit_is_taken_at_its_word():
    said = said_with([[3.0, 1.0, -1.0], [3.0, -1.0, 1.0], [2.0, -3.0, -2.0]])
    some = replace(said, labels=np.array([1, UNLABELLED, UNLABELLED]))

    first, second = 1 / (1 + np.exp([-3.0, -2.0]))  # what the last exit gives to its own answers
    expected = [[1, 1 - first, second], [1, first, 1 - second], [1, first, second]]
    assert some.right[0] == pytest.approx(np.array(expected))


def test_samples_without_labels_make_no_count_look_surer(tested):
    labels = np.where(np.arange(len(tested.labels)) < 200, tested.labels, UNLABELLED)
    some, first = replace(tested, labels=labels), tested.only(np.arange(200))
    cheap = np.zeros(tested.right[:, 0].shape, dtype=int)

    fewer, more = (
        _foreseen(said, strongest_exit(said), cheap[:, : len(said.labels)], 1) for said in (first, some)
    )
    assert more > 0.9 * fewer  # of one sample it is nearly all the count's own scatter


def test_an_exit_that_misleads_on_another_source_is_found_out_without_labels(many_records):
    part = many_records.test
    misled = np.random.default_rng(0).random(len(part)) < 0.15
    logits = part.logits.copy()
    logits[:, 0, misled] = 2.0 * (1 - 2 * np.eye(2)[part.labels[misled]])  # sure, and wrong
    elsewhere = Part(ids=part.ids, labels=part.labels, logits=logits)

    known = {**many_records.parts, "shifted_elsewhere": elsewhere}
    away, _ = shifts(replace(many_records, parts=known), EXITS, budget=1.5)

    both = pooled(replace(many_records, parts=known), EXITS)
    assert both.chosen.shape[1] == 2 * len(part)
    assert both.drop.point > 2.0  # half of the samples are misled, and nobody learns it

    assert away.drop.upper < 3.0  # 19 where the rule is fitted on its own source alone
    assert away.saved > 0.2


def test_a_shift_needs_other_sources(records):
    with pytest.raises(PoolError, match="hold no other sources"):
        shifts(records, EXITS, budget=2.0)


def test_what_a_fit_saw_is_judged_by_fits_that_did_not_see_it(validation):
    rule = gain_rule(validation)

    unseen, seen = rule.chosen_on(validation, (6, 0.05, 1.0)), rule.choose(validation, (6, 0.05, 1.0))

    assert (unseen != seen).any()
    assert validation.right_at(unseen).mean() <= validation.right_at(seen).mean()
    assert (unseen == seen).mean() > 0.8


def test_all_cloud_is_the_rival_where_a_single_exit_is_right_more_often():
    said = said_with([[1.0, -1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, -1.0]])
    better, worse = np.array([[True, True, True]]), np.array([[True, False, False]])

    assert strongest(said).name == "the exit after block 4"
    assert strongest(replace(said, rival_right=worse, rival_places=(0,))).right.tolist() == [[1, 1, 0]]
    found = strongest(replace(said, rival_right=better, rival_places=(0,)))
    assert (found.name, found.right.tolist()) == ("a single-exit fine-tune", [[1, 1, 1]])
    assert strongest(
        replace(said, rival_right=better, rival_places=(0,)).only(np.array([2]))
    ).right.tolist() == [[1]]


def test_a_rival_is_compared_with_the_exits_of_its_own_seed():
    right = np.array([[1.0, 1.0, 1.0, -1.0], [1.0, -1.0, -1.0, -1.0]])  # by seed and sample, of every exit
    odds = np.repeat(right[:, None], 3, 1)
    said = Said(EXITS, np.ones(4, dtype=int), softmax(np.stack([0 * odds, odds], -1)))
    rival = np.array([[True, True, False, False]])  # less than its seed's exits, as much as all seeds' are

    assert strongest(replace(said, rival_right=rival, rival_places=(0,))).name == "the exit after block 2"
    assert strongest(replace(said, rival_right=rival, rival_places=(1,))).name == "a single-exit fine-tune"


def test_records_keep_where_each_test_sample_was_answered_and_why(tmp_path, records, evaluation):
    path = tmp_path / "made.npz"
    save_records(path, routed(records, evaluation))
    kept = load_records(path)

    answered, gain, told = kept.test.answered, kept.test.gain, kept.document["routes"]
    assert (told["sealed"], tuple(told["exits"])) == (evaluation.sealed, EXITS)
    assert (answered == np.array(EXITS)[evaluation.outcomes[OURS].chosen]).all()
    deepest, *_ = told["setting"]
    assert (np.isnan(gain) == (answered == deepest)).all()
    for layer, wanted in zip(EXITS, told["wanted"], strict=False):
        assert (gain[answered == layer] <= wanted + 1e-3).all()  # half precision
    other = replace(kept, parts={**kept.parts, "test": replace(kept.test, answered=answered + 1)})
    save_records(tmp_path / "bad.npz", other)
    with pytest.raises(RecordError, match="do not fit together"):
        load_records(tmp_path / "bad.npz")
