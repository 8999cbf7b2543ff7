{{ config(materialized='table', partitioned_by=['part'], force_batch=true) }}
select number as id, 'n' as name, number as part
from unnest(sequence(1, 120)) as numbers (number)
