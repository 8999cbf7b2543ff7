{# Which final numbers were changed afterwards, and why?
   One row per change of a number that had been final: late data, a key that arrived, records derived
   again, or a changed definition. No row means that no number that anyone may have quoted moved. #}

with

restatements as (

    select * from {{ ref('metrics_restatement') }}

),

changes_listed as (

    select
        metric,
        metric_date,
        old_value,
        new_value,
        delta,
        cause,
        as_of_batch_seq,
        as_of,
        is_final,
        completeness_pct

    from restatements

)

select * from changes_listed
order by as_of desc, metric_date desc, metric asc
limit 20
