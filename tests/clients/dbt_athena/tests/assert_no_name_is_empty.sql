select id from {{ ref('append_hive') }} where name = ''
