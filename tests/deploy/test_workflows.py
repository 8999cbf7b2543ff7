"""The workflows follow GitHub's schema, hold no key, and run only what people can run, too."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
WORKFLOWS: dict[str, Any] = {file.stem: yaml.safe_load(file.read_text()) for file in FILES}
JOBS = {
    f"{name}.{job_id}": job
    for name, workflow in WORKFLOWS.items()
    for job_id, job in workflow["jobs"].items()
}
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]

# What may do more than read the code, and what for.
MAY = {
    "changed-models.build": {"contents": "read", "id-token": "write"},
    "deploy.image": {"contents": "read", "id-token": "write"},
    "deploy.release": {"contents": "write", "id-token": "write"},
}

TESTED = {
    r"\.ci/run": ".ci/run is what this test is run by",
    r"make setup": "make test",
    r"make image": "Dockerfile: tests/test_compose.py, and README's docker compose",
    r"\.venv/bin/python -m deploy changed-models .*": "test_changed_models.py",
    r"\.venv/bin/python -m deploy drop .*": "test_changed_models.py",
    r'python3 -m deploy plan "\$COMMIT" >> "\$GITHUB_OUTPUT"': "test_release.py",
    r'python3 -m deploy release "\$COMMIT"': "test_release.py",
    r'deploy/to_hosts "\$COMMIT" "\$IMAGE"': "needs AWS; deploy/on_host by hand, with Docker",
    r"aws ecr get-login-password .*": "needs AWS",
    r"docker manifest inspect .*": "needs a registry",
}
"""Every command of a step, and where it is run otherwise."""


def test_workflows_follow_the_schema():
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *FILES]

    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)

    assert len(FILES) == 3
    assert done.returncode == 0, done.stdout


def test_actions_are_pinned_to_a_commit_and_say_which_version_it_is():
    text = "\n".join(file.read_text() for file in FILES)
    uses = re.findall(r"uses: (.+)", text)

    wrong = [use for use in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}  # v[\d.]+", use)]

    assert len(uses) >= 8
    assert not wrong, f"Pin to a commit, with its version behind it: {wrong}"


@pytest.mark.parametrize("name", JOBS)
def test_job_has_no_more_rights_than_it_needs_and_ends_by_itself(name: str):
    job = JOBS[name]

    assert job["permissions"] == MAY.get(name, {"contents": "read"})
    assert job["timeout-minutes"] <= 60
    assert ("environment" in job) == (job["permissions"].get("id-token") == "write"), (
        "A role belongs to an environment, whose rules say who may use it."
    )
    keeps_the_token = [
        step
        for step in job["steps"]
        if "checkout" in step.get("uses", "") and "persist-credentials" not in step["with"]
    ]
    assert bool(keeps_the_token) == (job["permissions"]["contents"] == "write")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_gives_nothing_by_default_and_runs_once_at_a_time(name: str):
    workflow = WORKFLOWS[name]

    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["cancel-in-progress"] == (name != "deploy")


def test_no_long_lived_key_and_no_input_in_a_shell():
    for name, step in STEPS:
        assert "secrets." not in str(step), f"{name} must take a role, not a key."
        assert "${{" not in step.get("run", ""), f"{name}: pass it in env, a shell would run it."
        if "aws-actions/configure-aws-credentials" in step.get("uses", ""):
            assert set(step["with"]) == {"role-to-assume", "aws-region"}


def test_every_step_runs_a_command_that_is_tested_elsewhere():
    commands = [step["run"].strip() for _, step in STEPS if "run" in step]

    unknown = [
        command for command in commands if not any(re.fullmatch(known, command) for known in TESTED)
    ]

    assert not unknown, f"Put the logic where people can run it, test it, name it here: {unknown}"


def test_the_scratch_schema_is_dropped_whatever_happened_before():
    *_, last = JOBS["changed-models.build"]["steps"]

    assert last["if"] == "always()"
    assert " drop --schema" in last["run"]
