"""What is missing is done, in order, whatever fails in between."""

import pretended

from experiments.harness import runner, study

Pretended, trial = pretended.Pretended, pretended.trial


def run(place, trials):
    said = []
    runner.run(place, trials, say=said.append)
    return said


def test_only_what_is_missing_is_done():
    place = Pretended(done=["measure a, fgsm", "train b"])
    trials = [trial("a", "fgsm"), trial("b", "fgsm"), trial("c", "pgd-5")]
    run(place, trials)
    assert place.calls == ["measure b, fgsm", "train c", "measure c, pgd-5"]
    place.calls.clear()
    run(place, trials)
    assert place.calls == []
    assert place.failed == {}


def test_experiments_share_trainings_and_measurements():
    place = Pretended()
    run(place, [trial("a", "fgsm"), trial("a", "fgsm", "pgd-5")])
    assert place.calls == ["train a", "measure a, fgsm", "measure a, pgd-5"]


def test_a_network_that_is_trained_again_is_measured_as_a_whole():
    place = Pretended(done=["measure a, fgsm"])
    run(place, [trial("a", "fgsm", "pgd-5")])
    assert place.calls == ["train a", "measure a, fgsm", "measure a, pgd-5"]


def test_networks_that_are_needed_are_trained_again():
    place = Pretended(done=["measure a, fgsm"])
    run(place, [trial("a", "fgsm")])
    assert place.calls == []
    run(place, [trial("a", "fgsm"), trial("a", keeps_networks=True)])
    assert place.calls == ["train a"]
    place.calls.clear()
    run(place, [trial("b", "fgsm", keeps_networks=True)])
    assert place.calls == ["train b", "measure b, fgsm"]


def test_half_a_training_is_finished_where_networks_are_needed(tmp_path):
    place = Pretended()
    vars(place)["runs"] = tmp_path
    half = place.run(trial("a")).classifier("epoch-1")
    half.parent.mkdir(parents=True)
    half.touch()
    run(place, [trial("a", keeps_networks=True)])
    assert place.calls == ["train a"]


def test_a_failed_training_keeps_only_its_measurements_from_being_done():
    place = Pretended(failing=["train a", "measure b, fgsm"])
    trials = [trial("a", "fgsm"), trial("b", "fgsm", "pgd-5"), trial("c", "f")]
    said = run(place, trials)
    assert place.calls == [
        "train a", "train b", "measure b, fgsm", "measure b, pgd-5",
        "train c", "measure c, f",
    ]  # fmt: skip
    assert place.failed == dict.fromkeys(
        ["train a", "measure b, fgsm"], "it did not work"
    )
    assert said[0] == "[1 of 7] train a"
    assert "  skipped: its training failed" in said


def test_what_failed_is_not_tried_again_by_the_same_process():
    place = Pretended(failing=["train a", "measure b, fgsm"])
    trials = [trial("a", "fgsm", keeps_networks=True), trial("b", "fgsm")]
    assert not any(place.is_settled(each) for each in trials)
    run(place, trials)
    assert runner.missing(place, trials) == []
    assert all(place.is_settled(each) for each in trials)
    assert [title for title in place.done if "fgsm" in title] == []


def test_what_ends_without_being_done_has_failed():
    place = Pretended(idle=["train a", "measure b, fgsm"])
    run(place, [trial("a", "fgsm"), trial("b", "fgsm")])
    assert set(place.failed) == {"train a", "measure b, fgsm"}


def test_time_left_comes_from_what_others_took():
    clock = runner.Clock()
    jobs = [runner.Job(trial("a", "fgsm"), None)] * 3
    assert clock.left(jobs) == ""
    clock.took(jobs[0], 60)
    assert clock.left(jobs[1:]) == ", about 2.0 min left"
    other = runner.Job(trial("a", "fgsm"), study.Measurement("test", {}))
    assert clock.left([*jobs[1:], other]) == ", at least 2.0 min left"
