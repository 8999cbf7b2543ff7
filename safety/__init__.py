"""Who may do what in Airflow: users and roles, and no open mode where strangers can connect.

Goes wherever Airflow goes: laptop, cluster, one server, container.
"""
