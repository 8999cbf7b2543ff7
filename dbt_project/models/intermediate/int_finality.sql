{# Two days after its end a date is final: sessions that began on it are over after one day and half
   an hour, and what comes later than two days is restated by name; DECISIONS.md #56. #}
{% set hours_until_final = 48 %}

with

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

{# By the newest batch, not by the clock: while nothing is landed, nothing becomes final. #}
horizon as (

    select max(landed_at) - interval '{{ hours_until_final }}' hour as final_until_at from batches

),

first_open_date_found as (

    select
        {{ utc_to_date('final_until_at', var('metric_time_zone')) }} as first_open_date

    from horizon

)

select * from first_open_date_found
