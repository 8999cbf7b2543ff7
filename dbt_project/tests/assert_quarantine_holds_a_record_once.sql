{# Who is in quarantine now is there once; that nobody is good as well, assert_raw_equals_ledger
   says. A conflict keeps the id that it contests for the reader, not as its identity. #}
select
    record_id,
    count(*) as row_count

from {{ ref('stg_access_logs__quarantined_records') }}
where record_id is not null and not is_conflict
group by 1
having count(*) > 1
