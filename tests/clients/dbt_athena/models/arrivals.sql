{{ config(materialized='view') }}
select
    id,
    name,
    day
from (
    values
        (1, 'a', date '2024-01-01', 1),
        (2, 'b', date '2024-01-02', 1),
        (1, 'gone', date '2024-01-01', 2),
        (2, 'B', date '2024-01-02', 2),
        (3, 'c', date '2024-01-03', 2)
) as batches (id, name, day, round)
where round = {{ var('round') }}
