"""Makes Airflow's users and narrows the roles, in the database that Airflow is configured with.

    python -m safety.users FOLDER

FOLDER has a file ``<user>.password`` for each user; no password is ever on a command line. Safe to
run again: a changed file changes the password.
"""

import sys
from pathlib import Path

ROLE_OF = {"admin": "Admin", "op": "Op", "viewer": "Viewer"}

NOT_FOR_OPERATORS = {"Connections", "Variables", "Configurations", "Providers"}
"""What Airflow's role Op may read by default. Connections hold secrets; variables hold the memory
of the alerts; an operator triggers, clears, backfills and sets pools, and needs none of them."""


def main(folder: Path) -> None:
    """Bring roles and users up to date.

    Raises:
        SystemExit: if a password is missing, or Airflow refuses a user.
    """
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    files = {user: folder / f"{user}.password" for user in ROLE_OF}
    if missing := [str(file) for file in files.values() if not file.is_file()]:
        raise SystemExit(f"error: No password in {', '.join(missing)}.")
    with get_application_builder() as builder:
        manager = builder.sm
        # Narrowed before it is made, so that nobody has ever had more.
        manager.ROLE_CONFIGS = [_narrowed(role) for role in manager.ROLE_CONFIGS]
        builder.add_permissions(update_perms=True)
        manager.sync_roles()
        operators = manager.find_role("Op")
        for permission in list(operators.permissions):
            if permission.resource.name in NOT_FOR_OPERATORS:
                manager.remove_permission_from_role(operators, permission)
        for user, file in files.items():
            _ensure(manager, user, ROLE_OF[user], file.read_text().strip())


def _narrowed(role: dict) -> dict:
    if role["role"] != "Op":
        return role
    return role | {"perms": [perm for perm in role["perms"] if perm[1] not in NOT_FOR_OPERATORS]}


def _ensure(manager, user: str, role_name: str, password: str) -> None:
    from werkzeug.security import check_password_hash

    role = manager.find_role(role_name)
    if found := manager.find_user(username=user):
        found.roles = [role]
        manager.update_user(found)
        if not check_password_hash(found.password, password):
            manager.reset_password(found.id, password)  # ends their sessions, too
    elif not manager.add_user(user, user, "daylight", f"{user}@localhost", role, password):
        raise SystemExit(f"error: Airflow could not make the user {user}; its log says why.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
