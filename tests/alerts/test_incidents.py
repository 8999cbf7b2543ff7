import itertools

import pytest

from alerts.incidents import Incident, Run, after_failure, after_lateness, is_over

NOW = "2026-11-21T10:00:00+00:00"
LATER = "2026-11-21T10:10:00+00:00"
UPSTREAM = {"land": frozenset(), "check": frozenset({"land"}), "publish": frozenset({"check"})}


def run(**states: str) -> Run:
    return Run("scheduled__1", states, UPSTREAM)


RED = run(land="success", check="failed", publish="upstream_failed")
GREEN = run(land="success", check="success", publish="success")


def test_five_red_tasks_are_one_incident_with_five_names():
    names = [f"model_{number}" for number in range(5)]

    incident, is_news = after_failure(None, Run("r", dict.fromkeys(names, "failed"), {}), NOW)

    assert is_news
    assert incident == Incident(NOW, "r", tuple(names), failed_runs=1)


def test_the_next_red_run_is_no_news():
    incident, _ = after_failure(None, RED, NOW)

    incident, is_news = after_failure(incident, RED, LATER)

    assert not is_news
    assert (incident.since, incident.failed_runs) == (NOW, 2)


def test_a_task_that_was_not_red_before_is_news_once():
    incident, _ = after_failure(None, RED, NOW)
    other = run(land="failed", check="upstream_failed", publish="upstream_failed")

    incident, is_news = after_failure(incident, other, LATER)
    _, is_news_again = after_failure(incident, RED, LATER)

    assert is_news
    assert not is_news_again
    assert incident.tasks == ("check", "land")


def test_the_green_run_after_it_ends_it():
    incident, _ = after_failure(None, RED, NOW)

    assert is_over(incident, GREEN)


def test_a_poll_that_found_nothing_does_not_end_what_is_red_behind_it():
    incident, _ = after_failure(None, RED, NOW)
    nothing_new = run(land="skipped", check="skipped", publish="skipped")

    assert nothing_new.did_nothing
    assert not is_over(incident, nothing_new)


def test_a_poll_that_found_nothing_ends_its_own_redness():
    late = run(land="failed", check="upstream_failed", publish="upstream_failed")
    incident, _ = after_failure(None, late, NOW)

    assert is_over(incident, run(land="skipped", check="skipped", publish="skipped"))


def test_a_task_that_the_dag_no_longer_has_keeps_no_incident_open():
    incident = Incident(NOW, "r", ("gone",), failed_runs=1)

    assert is_over(incident, GREEN)


def test_a_late_run_is_told_once_and_its_failure_too():
    incident, is_news = after_lateness(None, "r", NOW)
    incident, is_news_again = after_lateness(incident, "r2", LATER)
    incident, its_failure = after_failure(incident, RED, LATER)
    _, next_failure = after_failure(incident, RED, LATER)

    assert (is_news, is_news_again, its_failure, next_failure) == (True, False, True, False)


def test_an_incident_survives_its_document():
    incident, _ = after_failure(None, RED, NOW)

    assert Incident.of(incident.document()) == incident


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_whatever_happens_each_incident_is_opened_once_and_closed_once(length):
    """By plain counting over every history of red and green runs."""
    for history in itertools.product([RED, GREEN], repeat=length):
        incident, told, ended = None, 0, 0
        for each in history:
            if each is RED:
                incident, is_news = after_failure(incident, each, NOW)
                told += is_news
            elif incident and is_over(incident, each):
                incident, ended = None, ended + 1

        groups = [colour for colour, _ in itertools.groupby(history)]
        assert told == sum(colour is RED for colour in groups)
        assert ended == sum(
            first is RED and second is GREEN for first, second in itertools.pairwise(groups)
        )
