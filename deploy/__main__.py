"""What the workflows call, and whoever does it by hand: ``python -m deploy``."""

import argparse
import os
import signal
import sys

from deploy import changed_models, release


def main() -> int:
    """Do one step; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    build = steps.add_parser("changed-models", help="build what differs, in a scratch schema")
    build.add_argument("--against", default=f"origin/{release.BRANCH}", help="a commit")
    drop = steps.add_parser("drop", help="drop a scratch schema")
    for each in (build, drop):
        each.add_argument("--schema", required=True, help=f"begins with {changed_models.SCRATCH}")
    plan = steps.add_parser("plan", help="say what a commit needs: commit=… needs_image=…")
    move = steps.add_parser("release", help="let production be a commit, newer or older")
    for each in (plan, move):
        each.add_argument("commit")
    words = parser.parse_args()
    env = dict(os.environ)  # noqa: TID251  the edge: what dbt inherits
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the schema is dropped all the same
    if words.step == "changed-models":
        return changed_models.build(words.against, words.schema, env)
    if words.step == "drop":
        return changed_models.drop(words.schema, env)
    if words.step == "plan":
        commit, needs_image = release.plan(words.commit)
        print(f"commit={commit}\nneeds_image={str(needs_image).lower()}")
    else:
        print(f"{release.BRANCH} is {release.release(words.commit)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
