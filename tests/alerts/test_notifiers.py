"""From a run that ended to what stands in two chat rooms, over real HTTP."""

import asyncio
import json
import logging
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

import alerts
from alerts import memory, notifiers, outbox, webhooks
from tests.alerts.receivers import receiving

RUNBOOK = """
### Transform

| | |
| --- | --- |
| **Impact** | tier 1: the tables & the site |
| **If a model fails** | fix it, then clear the red `task` |
| **If `build_site` fails** | the old site stands; clear it |
"""
RED = {
    "land": "success",
    "warehouse.users.build": "failed",
    "warehouse.sessions.build": "failed",
    "warehouse.days.build": "upstream_failed",
    "build_site": "upstream_failed",
}
GREEN = dict.fromkeys(RED, "success")
NOTHING_NEW = dict.fromkeys(RED, "skipped")


class Variables:
    """Airflow's Variables, in memory, with JSON as it would come back from the database."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default=None, deserialize_json: bool = False):
        if key not in self.values:
            return default
        return json.loads(self.values[key]) if deserialize_json else self.values[key]

    def set(self, key: str, value, description=None, serialize_json: bool = False) -> None:
        assert len(key) <= 250
        self.values[key] = json.dumps(value) if serialize_json else value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self.values if key.startswith(prefix)]


@pytest.fixture
def variables(monkeypatch):
    variables = Variables()
    for module in (memory, notifiers):
        monkeypatch.setattr(module, "Variable", variables)
    return variables


@pytest.fixture
def rooms(monkeypatch, variables):
    """Slack and Teams on loopback, and the connections that lead there."""
    connections: dict[str, Connection] = {}

    def get(conn_id: str) -> Connection:
        if conn_id not in connections:
            raise AirflowNotFoundException(conn_id)
        return connections[conn_id]

    monkeypatch.setattr(outbox, "Connection", SimpleNamespace(get=get))
    monkeypatch.setattr(webhooks, "ATTEMPTS", 1)
    # So that a busy machine is not taken for a slow receiver.
    monkeypatch.setattr(webhooks, "ATTEMPT_SECONDS", 60.0)
    monkeypatch.setattr(webhooks, "PATIENCE_SECONDS", 60.0)
    with ExitStack() as stack:
        slack, teams = (stack.enter_context(receiving(name)) for name in ("Slack", "Teams"))
        for room in (slack, teams):
            conn_id = f"daylight_{room.name.lower()}"
            connections[conn_id] = Connection(
                conn_id=conn_id, conn_type="http", password=room.address
            )
        yield SimpleNamespace(slack=slack, teams=teams, connections=connections)


def context(states: dict, run_id: str = "asset__1", dag_id: str = "transform_warehouse") -> dict:
    def task(name: str) -> SimpleNamespace:
        kind, _, rest = name.partition(".")
        node = {"resource_type": "model", "resource_name": rest.split(".")[0]}
        extra = {"dbt_node_config": node} if kind == "warehouse" else None
        return SimpleNamespace(upstream_task_ids={"land"} - {name}, extra_context=extra)

    dag = SimpleNamespace(
        dag_id=dag_id,
        doc_md=RUNBOOK,
        task_dict={name: task(name) for name in RED},
        get_template_env=lambda **_: None,
    )
    ti = SimpleNamespace(
        get_task_states=lambda dag_id, run_ids: {run_ids[0]: states},
        exception=ValueError("user 4711 bought a secret thing"),
    )
    # Everything that a message must not hold is there to be taken.
    return {
        "dag": dag,
        "run_id": run_id,
        "ti": ti,
        "reason": "task_failure",
        "exception": ti.exception,
        "params": {"uri": "s3://4711/"},
        "dag_run": SimpleNamespace(conf={"user": "4711"}, run_id=run_id),
    }


def test_a_red_run_is_told_in_both_rooms_with_all_that_is_needed(rooms, variables):
    alerts.remember_good_day("2026-11-20")

    alerts.TellFailure()(context(RED, "asset_triggered__2026-11-21T10:00:00+00:00_a"))

    for text in (rooms.slack.texts[0], rooms.teams.texts[0]):
        assert "🔴 transform_warehouse failed: users and 1 more" in text
        assert "model users, model sessions" in text
        assert "2 tasks that need it" in text
        assert "2026-11-20" in text
        assert "tier 1: the tables" in text
        assert "fix it, then clear the red" in text
        page = "/dags/transform_warehouse"
        run = f"{page}/runs/asset_triggered__2026-11-21T10%3A00%3A00%2B00%3A00_a"
        assert f'{run}"' in text
        assert f'{run}/tasks/warehouse.users.build"' in text
        assert f'{page}"' in text
    fields = {
        field["text"].split("\n")[0]: field["text"].split("\n")[1]
        for field in rooms.slack.bodies[0]["blocks"][1]["fields"]
    }
    assert fields["*Last good day*"] == "2026-11-20"
    assert fields["*Impact*"] == "tier 1: the tables &amp; the site"


def test_no_text_can_wake_a_whole_channel(rooms, variables):
    shouting = context(RED)
    shouting["dag"].doc_md = RUNBOOK.replace("fix it", "fix it <!channel>")

    alerts.TellFailure()(shouting)

    assert "<!" not in rooms.slack.texts[0]
    assert "fix it &lt;!channel&gt;" in rooms.slack.texts[0]


def test_nothing_of_the_error_the_run_or_the_addresses_gets_out(rooms, variables, caplog):
    with caplog.at_level(logging.DEBUG):
        rooms.teams.failures = [(500, {})]
        alerts.TellFailure()(context(RED))

    everything = caplog.text + str(rooms.slack.texts) + str(variables.values)
    assert "4711" not in everything
    assert "SECRET" not in everything
    assert rooms.slack.bodies


def test_one_message_for_many_red_runs_and_one_when_it_is_over(rooms, variables):
    for number in range(5):
        alerts.TellFailure()(context(RED, f"run_{number}"))
    alerts.TellSuccess()(context(NOTHING_NEW, "run_5"))
    assert len(rooms.slack.bodies) == len(rooms.teams.bodies) == 1

    alerts.TellSuccess()(context(GREEN, "run_6"))
    alerts.TellSuccess()(context(GREEN, "run_7"))

    assert len(rooms.slack.bodies) == len(rooms.teams.bodies) == 2
    assert "🟢 transform_warehouse recovered" in rooms.slack.texts[1]
    assert "*Failed runs*\\n5" in rooms.slack.texts[1]
    assert not variables.keys("incident.")
    assert not variables.keys("alert_unsent.")


def test_a_new_red_task_in_an_open_incident_is_told_with_its_own_advice(rooms, variables):
    alerts.TellFailure()(context(RED, "run_1"))
    other = GREEN | {"build_site": "failed"}

    alerts.TellFailure()(context(other, "run_2"))

    assert "failed: build_site" in rooms.slack.texts[1]
    assert "the old site stands" in rooms.slack.texts[1]
    assert "Failing since" in rooms.slack.texts[1]


def test_incidents_of_two_dags_are_two(rooms, variables):
    alerts.TellFailure()(context(RED))
    alerts.TellFailure()(context(RED, dag_id="verify_warehouse"))

    assert len(rooms.slack.bodies) == 2
    assert {one["dag_id"] for one in alerts.standing()["incidents"]} == {
        "transform_warehouse",
        "verify_warehouse",
    }
    assert [one["dag_id"] for one in alerts.standing(but="verify_warehouse")["incidents"]] == [
        "transform_warehouse"
    ]


def test_of_mapped_tasks_the_worst_counts(rooms, variables):
    states = {"land_0": "success", "land_1": "failed", "land_2": "skipped"}

    alerts.TellFailure()(context(states))
    alerts.TellSuccess()(context(states | {"land_1": "skipped"}))

    assert "failed: land" in rooms.slack.texts[0]
    assert len(rooms.slack.bodies) == 2


def test_a_run_without_a_red_task_says_why_it_failed(rooms, variables):
    timed_out = context({"land": "skipped"}) | {"reason": "timed_out", "ti": None}

    alerts.TellFailure()(timed_out)
    alerts.TellSuccess()(context(GREEN))

    assert "the run took longer than it may" in rooms.slack.texts[0]
    assert "recovered" in rooms.slack.texts[1]


def test_without_a_connection_nobody_is_told_but_the_incident_is_known(rooms, variables):
    rooms.connections.clear()

    alerts.TellFailure()(context(RED))

    assert not rooms.slack.asked_at + rooms.teams.asked_at
    assert not variables.keys("alert_unsent.")
    assert len(alerts.standing()["incidents"]) == 1


def test_success_is_told_only_where_it_is_wanted_and_never_of_nothing(rooms, variables):
    rooms.connections["daylight_teams"].extra = '{"on_success": true}'

    alerts.TellSuccess()(context(GREEN, "run_1"))
    alerts.TellSuccess()(context(NOTHING_NEW, "run_2"))

    assert not rooms.slack.bodies
    assert len(rooms.teams.bodies) == 1
    assert "🟢 transform_warehouse succeeded" in rooms.teams.texts[0]


def test_what_one_room_did_not_take_waits_for_it_alone(rooms, variables, caplog):
    rooms.teams.failures = [(500, {}), (503, {})]

    alerts.TellFailure()(context(RED))

    assert len(rooms.slack.bodies) == 1
    assert "not delivered channel=Teams" in caplog.text
    (waiting,) = alerts.standing()["undelivered"]
    assert waiting["channel"] == "Teams"
    assert waiting["problem"] == "HTTP 500 Internal Server Error (1 attempt)"

    sent, unsent = alerts.deliver_again()
    assert (sent, len(unsent), unsent[0].rounds) == (0, 1, 2)

    sent, unsent = alerts.deliver_again()
    assert (sent, unsent) == (1, [])
    assert rooms.teams.texts[0].count("transform_warehouse failed: users") == 1
    assert len(rooms.slack.bodies) == 1
    assert alerts.standing()["undelivered"] == []


def test_a_message_is_given_up_after_its_rounds_and_stays_to_be_seen(rooms, variables):
    rooms.teams.failures = [(404, {})] * 100
    alerts.TellFailure()(context(RED))

    red_rounds = 0
    while alerts.deliver_again()[1]:
        red_rounds += 1

    assert red_rounds == outbox.ROUNDS - 1
    assert alerts.standing()["undelivered"][0]["is_given_up"]
    asked = len(rooms.teams.asked_at)
    alerts.deliver_again()
    assert len(rooms.teams.asked_at) == asked == outbox.ROUNDS


def test_letters_come_in_their_order_and_a_broken_room_is_asked_once_a_round(rooms, variables):
    rooms.slack.failures = [(500, {})] * 3
    alerts.TellFailure()(context(RED, "run_1"))
    alerts.TellSuccess()(context(GREEN, "run_2"))
    assert len(rooms.slack.asked_at) == 2
    # Both came within a second.
    for key, document in [(key, memory.read(key)) for key in variables.keys("alert_unsent.")]:
        kind = document["message"]["kind"]
        memory.write(key, document | {"since": "1" if kind == "failed" else "2"}, "")

    _, unsent = alerts.deliver_again()
    assert (len(unsent), len(rooms.slack.asked_at)) == (2, 3)
    sent, _ = alerts.deliver_again()

    assert sent == 2
    assert "failed" in rooms.slack.texts[0]
    assert "recovered" in rooms.slack.texts[1]


def test_being_killed_while_sending_costs_no_message(rooms, variables, monkeypatch):
    def killed(*_: object) -> str:
        raise SystemExit(137)

    with monkeypatch.context() as patched:
        patched.setattr(webhooks, "deliver", killed)
        with pytest.raises(SystemExit):
            alerts.TellFailure()(context(RED))

    assert alerts.deliver_again()[0] == 2
    assert len(rooms.slack.bodies) == len(rooms.teams.bodies) == 1


def test_a_room_that_was_closed_keeps_nothing_waiting(rooms, variables):
    rooms.teams.failures = [(500, {})]
    alerts.TellFailure()(context(RED))
    del rooms.connections["daylight_teams"]

    assert alerts.deliver_again()[1] == []

    assert alerts.standing()["undelivered"] == []


def test_people_are_told_even_if_nothing_can_be_remembered(rooms, variables, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("Airflow's database is away")

    for verb in ("get", "set"):
        monkeypatch.setattr(variables, verb, broken)
    with pytest.raises(RuntimeError):  # so Airflow's log has it, too
        alerts.TellFailure()(context(RED))

    assert len(rooms.slack.bodies) == len(rooms.teams.bodies) == 1


def test_a_late_run_is_told_from_the_triggerer_and_closed_by_the_next_green_one(rooms, variables):
    late = {"dag_run": {"dag_id": "transform_warehouse", "dag_run_id": "run_1"}, "deadline": {}}

    async def miss_deadline() -> None:
        await alerts.TellLateness(context=late)

    asyncio.run(miss_deadline())
    asyncio.run(miss_deadline())
    alerts.TellSuccess()(context(GREEN))

    assert [text.count("is late") for text in rooms.slack.texts] == [1 + 1, 0]
    assert "recovered" in rooms.teams.texts[1]


def test_forty_red_models_with_long_names_still_fit_into_both_rooms(rooms, variables):
    names = [f"warehouse.{'very_' * 40}long_{number}.build" for number in range(40)]
    wide = context(dict.fromkeys(names, "failed"))
    wide["dag"].task_dict = {
        name: SimpleNamespace(
            upstream_task_ids=set(),
            extra_context={
                "dbt_node_config": {"resource_type": "model", "resource_name": name.split(".")[1]}
            },
        )
        for name in names
    }
    wide["dag"].doc_md = f"| **Impact** | {'x' * 9_000} |\n| **If a model fails** | {'y' * 9_000} |"

    alerts.TellFailure()(wide)

    assert len(rooms.slack.bodies) == len(rooms.teams.bodies) == 1
    assert "and 30 more" in rooms.slack.texts[0]


def opened(happens: str) -> None:
    """Open the incident that a recovery closes."""
    if happens == "recovered":
        alerts.TellFailure()(context(RED, "run_0"))


def happen(what: str) -> None:
    late = {"dag_run": {"dag_id": "transform_warehouse", "dag_run_id": "run_1"}, "deadline": {}}
    if what == "failed":
        alerts.TellFailure()(context(RED))
    elif what == "late":
        asyncio.run(alerts.TellLateness().async_notify(late))
    else:
        alerts.TellSuccess()(context(GREEN))


@pytest.mark.parametrize("what", ["failed", "late", "recovered", "succeeded"])
@pytest.mark.parametrize("name", ["Slack", "Teams"])
def test_every_kind_comes_to_every_room_and_waits_for_one_that_fails(rooms, variables, name, what):
    for connection in rooms.connections.values():
        connection.extra = '{"on_success": true}'
    opened(what)
    failing, other = rooms.slack, rooms.teams
    if name == "Teams":
        failing, other = other, failing
    told_before = len(failing.bodies)
    failing.failures = [(503, {})]

    happen(what)

    assert f" {what}" in other.texts[-1]
    assert len(failing.bodies) == told_before
    (waiting,) = alerts.standing()["undelivered"]
    assert waiting["channel"] == name
    assert alerts.deliver_again() == (1, [])
    assert len(failing.bodies) == told_before + 1
    assert f" {what}" in failing.texts[-1]
    assert alerts.standing()["undelivered"] == []
