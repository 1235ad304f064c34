"""The classify stage, one `run_once` at a time: what is asked of the classifier, and what a verdict is made of."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from birdwatchd.flow import Handover, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import LIFELESS, Evidence, State
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.verdict.fusion import Fusion
from birdwatchd.species.verdict.second_look import SECOND_LOOKS
from tests.support.stage_inputs import AT, LABELS, FakeClassifier, classify_stage, evidence, moment


def test_a_verdict_is_revised_as_moments_arrive() -> None:
    """One lucky frame must not decide: later, better looks change the name."""
    stage = classify_stage(FakeClassifier({0: (0.5, 0.0), 1: (0.0, 9.0)}))
    (first,) = stage.classify([evidence("v", 1, moment(0))])
    (second,) = stage.classify([evidence("v", 2, moment(1))])
    assert first.verdict.state is State.UNCERTAIN
    assert second.verdict.common_name == "House sparrow"
    assert second.verdict.state is State.CONFIRMED
    assert (first.moments, second.moments) == (1, 2)


def test_crops_of_all_visits_share_one_batch() -> None:
    """That is what lets one GPU carry hundreds of cameras."""
    classifier = FakeClassifier({0: (1, 0), 1: (1, 0)})
    stage = classify_stage(classifier)
    judged = stage.classify([evidence("a", 1, moment(0), moment(1)), evidence("b", 1, moment(0))])
    assert classifier.batches == [3]
    assert [len(j.predictions) for j in judged] == [2, 1]


def test_the_box_of_a_visit_is_that_of_the_picture_that_shows_most_of_the_bird() -> None:
    """The last revision carries no picture of its own, yet its JSON must say where the bird was."""
    stage = classify_stage(FakeClassifier({0: (1, 0), 1: (9, 0), 2: (9, 0)}))
    stage.classify([evidence("v", 1, moment(0, quality=0.9))])
    stage.classify([evidence("v", 2, moment(1, quality=0.3), moment(2, quality=0.2))])
    (last,) = stage.classify([evidence("v", 3, end=AT)])
    assert last.box == moment(1).box


def test_dark_pictures_that_name_nothing_are_looked_at_again_in_one_batch() -> None:
    """A bird in the shade of its feeder is a dark shape to the network, whichever camera it comes from."""
    classifier = FakeClassifier({0: (0.3, 0), 1: (0.6, 0)}, brightened={0: (6, 0), 1: (0.5, 0)})
    stage = classify_stage(classifier)
    judged = stage.classify([evidence("a", 1, moment(0), moment(1)), evidence("b", 1, moment(0))])
    assert (classifier.batches, classifier.second_batches) == ([3], [3])
    assert [one.verdict.state for one in judged] == [State.CONFIRMED, State.CONFIRMED]
    # what is stored of a moment is the look that shows more of a bird
    assert [p.logits.tolist() for p in judged[0].predictions] == [[6, 0], [pytest.approx(0.6), 0]]


def test_what_is_around_a_head_counts_by_the_odds_that_it_shows_a_bird() -> None:
    """Of a chaffinch that only turns its head only the head moves, and a head alone is no chaffinch to the network."""
    classifier = FakeClassifier({0: (0.4, 0.2), 1: (0, 0.6)}, wider={0: (6, 0), 1: (-1, -1)})
    (judged,) = classify_stage(classifier).classify([evidence("v", 1, moment(0), moment(1))])
    assert (judged.verdict.state, judged.verdict.common_name) == (State.CONFIRMED, LABELS[0].common_name)
    shown, hidden = (p.logits for p in judged.predictions)
    assert shown[0] > 5.9  # nearly all of it
    assert 0.2 < hidden[1] < 0.6  # what shows less of a bird counts less


def test_a_wider_look_that_shows_no_bird_changes_nothing() -> None:
    """Around a small bird there is mostly what is no bird."""
    classifier = FakeClassifier({0: (0.4, 0.2)}, wider={0: (-40, -40)})
    (judged,) = classify_stage(classifier).classify([evidence("v", 1, moment(0))])
    assert judged.predictions[0].logits.tolist() == pytest.approx([0.4, 0.2])


def test_what_is_confirmed_is_not_looked_at_again() -> None:
    """A second look costs as much as a first one."""
    classifier = FakeClassifier({0: (6, 0), 1: (0.5, 0)}, brightened={0: (9, 0), 1: (9, 0)})
    stage = classify_stage(classifier)
    stage.classify([evidence("v", 1, moment(0))])
    stage.classify([evidence("v", 2, moment(1))])
    assert classifier.second_batches == []


def test_a_visit_gets_few_second_looks() -> None:
    """A dove that roosts in the dark all night must not keep the network busy with it."""
    dim = dict.fromkeys(range(20), (0.1, 0.0))
    classifier = FakeClassifier(dim, brightened=dim)
    stage = classify_stage(classifier)
    for number in range(20):
        stage.classify([evidence("v", number + 1, moment(number))])
    assert sum(classifier.second_batches) == SECOND_LOOKS
    many = FakeClassifier(dim, brightened=dim)
    classify_stage(many).classify([evidence("v", 1, *map(moment, range(20)))])
    assert many.second_batches == [SECOND_LOOKS]


@pytest.mark.parametrize("sizes", [[8], [3, 5], [1] * 8])
def test_second_looks_do_not_depend_on_how_moments_fall_into_batches(sizes: list[int]) -> None:
    """The same recording must give the same names, however busy the network is."""
    evidences = [0.1, 0.4, 0.2, 0.6, 0.3, 0.5, 0.15, 0.7]
    first = {i: (x, 0.0) for i, x in enumerate(evidences)}
    classifier = FakeClassifier(first, brightened={i: (x + 0.05, 0.0) for i, x in enumerate(evidences)})
    stage, moments = classify_stage(classifier), iter(range(8))
    stored = []
    for revision, size in enumerate(sizes):
        (judged,) = stage.classify([evidence("v", revision + 1, *(moment(next(moments)) for _ in range(size)))])
        stored += [round(float(p.logits[0]), 3) for p in judged.predictions]
    # the seventh shows less than four before it
    assert stored == [0.15, 0.45, 0.25, 0.65, 0.35, 0.55, 0.15, 0.75]


def test_the_running_verdict_with_second_looks_is_that_of_what_is_stored() -> None:
    """`relabel` makes the verdict anew of the stored logits, and must come to the same."""
    classifier = FakeClassifier({0: (0.3, 0), 1: (0, 0.6), 2: (0.5, 0)}, brightened={0: (0.7, 0), 1: (0, 0.1)})
    stage = classify_stage(classifier)
    judged = [stage.classify([evidence("v", i + 1, moment(i))])[0] for i in range(3)]
    stored = np.stack([p.logits for one in judged for p in one.predictions])
    assert Fusion(LABELS, SpeciesSettings()).fuse(stored) == judged[-1].verdict


def test_a_picture_that_cannot_be_read_does_not_cost_the_visit() -> None:
    """That a bird was there is known even when no picture of it is."""
    stage = classify_stage(FakeClassifier({}))
    (judged,) = stage.classify([evidence("v", 1, moment(0), end=AT)])
    assert judged.predictions == ()
    assert judged.verdict.state is State.UNKNOWN


def test_nothing_is_remembered_of_visits_that_are_over() -> None:
    """A daemon that runs for a year must not keep a year of visits in memory."""
    stage = classify_stage(FakeClassifier({0: (9, 0)}))
    for number in range(100):
        stage.classify([evidence(f"v{number}", 1, moment(0)), evidence(f"v{number}", 2, end=AT)])
    assert stage._visits == {}


def test_a_clip_that_comes_with_the_end_of_its_visit_does_not_stop_the_stage() -> None:
    """At a stop both are in one batch: the end, and the clip that was closed after it."""
    stage = classify_stage(FakeClassifier({0: (9, 0)}))
    judged = stage.classify([evidence("v", 1, moment(0)), evidence("v", 2, end=AT), evidence("v", 3, end=AT)])
    assert [one.evidence.revision for one in judged] == [1, 2, 3]
    assert judged[1].verdict.state is State.CONFIRMED


def test_while_stopping_late_crops_are_given_up_but_ends_never() -> None:
    """Ten seconds are enough to write what happened, not to classify a backlog on a slow machine."""
    stop = Stop()
    stop.set("test")
    assert stop.since_s is not None
    stop.since_s -= 60
    classifier = FakeClassifier({0: (9, 0)})
    stage = classify_stage(classifier, stop)
    stage._mailbox.open_lane("cam")
    stage._mailbox.put("cam", evidence("v", 1, moment(0), end=AT))
    stage._mailbox.close_lane("cam")
    assert stage.run_once()
    assert classifier.batches == []
    item = stage._out.take()
    assert isinstance(item, tuple)
    assert item[0].evidence.end == AT
    assert not stage.run_once()


def test_a_stage_that_waits_for_the_disk_still_beats() -> None:
    """With a full disk classify waits for record; the watchdog must not kill the daemon for its patience."""
    hand: Handover[int] = Handover("record", Metrics(), bound=1)
    hand.put(1)
    beats: list[None] = []
    giver = threading.Thread(target=hand.put, args=(2, lambda: beats.append(None)))
    giver.start()
    giver.join(2.5)
    assert giver.is_alive()
    assert beats
    hand.close()
    giver.join(5)


def lifeless(visit: str, revision: int, **more: Any) -> Evidence:
    return replace(evidence(visit, revision, end=AT), lifeless=True, **more)


def test_what_has_no_name_and_did_not_move_like_an_animal_was_no_visit() -> None:
    """Dust behind a car is none, although motion detection took it for one at first."""
    stage = classify_stage(FakeClassifier({}))
    (open_,) = stage.classify([evidence("v", 1, moment(0))])
    (last,) = stage.classify([lifeless("v", 2)])
    assert (open_.withdrawn, last.withdrawn) == (False, True)
    assert last.verdict.state is State.REJECTED
    assert last.verdict.reasons[0] == LIFELESS


@pytest.mark.parametrize("logits", [(9.0, 0.0), (0.7, 0.0)], ids=["confirmed", "uncertain"])
def test_what_has_a_name_stays_however_still_it_sat(logits: tuple[float, float]) -> None:
    """An owl that sleeps all day is the best visit of the year."""
    stage = classify_stage(FakeClassifier({0: logits}))
    stage.classify([evidence("v", 1, moment(0))])
    (last,) = stage.classify([lifeless("v", 2)])
    assert not last.withdrawn
    assert LIFELESS in last.verdict.reasons
    # and so it is when its clip comes afterwards, with which no crop comes
    (clip,) = stage.classify([lifeless("v", 3, clip="media/cam/v.mp4")])
    assert not clip.withdrawn


def test_the_clip_of_what_was_no_visit_goes_as_well() -> None:
    """It comes seconds after the visit was removed, and would be the largest part of it."""
    stage = classify_stage(FakeClassifier({}))
    stage.classify([lifeless("v", 1)])
    (clip,) = stage.classify([lifeless("v", 2, clip="media/cam/v.mp4")])
    assert clip.withdrawn
