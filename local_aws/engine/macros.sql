-- Small SQL functions that give DuckDB the meaning Trino has; see macros.py for their three forms.
create macro local_check(x, pattern, kind, safe) as
    case when x is null or regexp_full_match(x, pattern) then x
         when safe then null
         else local_fail('INVALID_CAST_ARGUMENT', case kind
            when 'date' then 'Value cannot be cast to date: ' || x
            when 'timestamp' then 'Value cannot be cast to timestamp: ' || x
            when 'boolean' then 'Cannot cast ''' || x || ''' to BOOLEAN'
            else 'Cannot cast ''' || x || ''' to ' || upper(kind) end, x) end;
create macro local_round_to(x, digits) as
    case when x is null or isnan(x) or isinf(x) or abs(x) * pow(10, digits) > 9e18 then x
         when x < 0 then -(floor(-x * pow(10, digits) + 0.5) / pow(10, digits))
         else floor(x * pow(10, digits) + 0.5) / pow(10, digits) end;
create macro local_round(x) as case when x >= 0 then floor(x + 0.5) else ceil(x - 0.5) end;
create macro local_floor_div(a, b) as (a - ((a % b) + b) % b) // b;
create macro local_round_micros(t, unit) as
    make_timestamp(local_floor_div(epoch_us(t) + unit // 2, unit) * unit);
create macro local_offset_minutes(z) as
    (case when z[1] = '-' then -1 else 1 end)
    * (cast(substr(z, 2, 2) as bigint) * 60 + cast(substr(z, 5, 2) as bigint));
create macro local_is_offset(z) as regexp_full_match(z, '[+-][0-9]{2}:[0-9]{2}');
create macro local_wall_of(i, z) as
    case when z = 'UTC' then i
         when local_is_offset(z) then i + to_minutes(local_offset_minutes(z))
         else timezone(z, timezone('UTC', i)) end;
create macro local_wall(t) as local_wall_of((t).i, (t).z);
create macro local_instant_of(w, z) as
    case when z = 'UTC' then w
         when local_is_offset(z) then w - to_minutes(local_offset_minutes(z))
         else timezone('UTC', timezone(z, w)) end;
create macro local_pack(i, z) as
    case when i is null or z is null then null else struct_pack(i := i, z := z) end;
create macro local_at_utc(t) as local_pack(t, 'UTC');
create macro local_with_zone(w, z) as local_pack(local_instant_of(w, z), z);
create macro local_zone_part(s) as
    case when regexp_extract(s, ' ?([+-][0-9]{1,2}:[0-9]{2}|[A-Za-z][A-Za-z0-9_/+-]*)$', 1) = ''
         then 'UTC'
         else replace(regexp_extract(s, ' ?([+-][0-9]{1,2}:[0-9]{2}|[A-Za-z][A-Za-z0-9_/+-]*)$', 1),
                      '+00:00', 'UTC') end;
create macro local_text_to_timestamptz(x, safe) as
    local_with_zone(
        cast(regexp_replace(local_check(trim(x),
            '[0-9]+-[0-9]{1,2}-[0-9]{1,2}( [0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]+)?)?)?'
            || '( ?([+-][0-9]{2}:[0-9]{2}|[A-Za-z][A-Za-z0-9_/+-]*))?',
            'timestamp', safe),
            ' ?([+-][0-9]{1,2}:[0-9]{2}|[A-Za-z][A-Za-z0-9_/+-]*)$', '') as timestamp),
        local_zone_part(trim(x)));
create macro local_iso_zone(s) as
    case when regexp_matches(s, 'T.*([+-][0-9]{2}(:?[0-9]{2})?)$')
         then case when regexp_replace(s, '^.*([+-][0-9]{2}):?([0-9]{2})?$', '\1:\2') in ('+00:00', '-00:00', '+00:')
                   then 'UTC'
                   else rpad(regexp_replace(s, '^.*([+-][0-9]{2}):?([0-9]{2})?$', '\1:\2'), 6, '0') end
         else 'UTC' end;
create macro local_iso_wall(s) as
    make_timestamp(local_floor_div(epoch_us(cast(replace(regexp_replace(
        case when regexp_full_match(s, '[0-9]{4}-[0-9]{2}(-[0-9]{2}(T[0-9]{2}(:?[0-9]{2}(:?[0-9]{2}([.,][0-9]+)?)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?)?|[0-9]{4}')
             then case when length(s) = 4 then s || '-01-01' when length(s) = 7 then s || '-01'
                       when regexp_full_match(s, '[^T]*T[0-9]{2}(Z|[+-].*)?') then regexp_replace(s, 'T([0-9]{2})', 'T\1:00')
                       else s end
             else local_fail('INVALID_FUNCTION_ARGUMENT', 'Invalid format: "' || s || '"', s) end,
        '(T.*?)(Z|[+-][0-9]{2}(:?[0-9]{2})?)$', '\1'), ',', '.') as timestamp)), 1000) * 1000);
create macro local_from_iso8601(s) as local_with_zone(local_iso_wall(s), local_iso_zone(s));
create macro local_double_text(x) as
    case when isnan(x) then 'NaN'
         when isinf(x) then case when x > 0 then 'Infinity' else '-Infinity' end
         when x = 0 then case when cast(x as varchar)[1] = '-' then '-0E0' else '0E0' end
         else case when x < 0 then '-' else '' end || local_scientific(replace(cast(abs(x) as varchar), '-', '~')) end;
create macro local_to_real(x) as
    case when abs(x) > 3.4028235677973366e38 and not isinf(x) and not isnan(x)
         then cast(case when x > 0 then 'Infinity' else '-Infinity' end as float) else cast(x as float) end;
create macro local_interval_text(x) as
    case when x < 0 then '-' else '' end || (abs(x) // 86400000) || ' '
    || printf('%02d:%02d:%02d.%03d', abs(x) // 3600000 % 24, abs(x) // 60000 % 60, abs(x) // 1000 % 60, abs(x) % 1000);
create macro local_fits_cast(s, n, safe) as
    case when length(s) <= n or s is null then s when safe then null
         else local_fail('INVALID_CAST_ARGUMENT', 'Value ' || s || ' cannot be represented as varchar(' || n || ')', s) end;
create macro local_digits(s) as
    regexp_replace(regexp_replace(replace(split_part(s, 'e', 1), '.', ''), '^0+', ''), '0+$', '');
create macro local_exponent(s) as
    case when contains(s, 'e')
         then cast(replace(replace(split_part(s, 'e', 2), '~', '-'), '+', '') as integer)
         else 0 end
    + case when split_part(split_part(s, 'e', 1), '.', 1) not in ('0', '')
           then length(split_part(split_part(s, 'e', 1), '.', 1)) - 1
           else -1 - length(regexp_extract(split_part(split_part(s, 'e', 1), '.', 2), '^0*')) end;
create macro local_scientific(s) as
    local_digits(s)[1] || '.'
    || case when length(local_digits(s)) > 1 then local_digits(s)[2:] else '0' end
    || 'E' || cast(local_exponent(s) as varchar);
create macro local_json_scalar(j, safe) as
    case when json_type(j) in ('OBJECT', 'ARRAY')
         then case when safe then null else local_fail('INVALID_CAST_ARGUMENT', 'Cannot cast to varchar', j) end
         when json_type(j) = 'NULL' then null
         when json_type(j) = 'DOUBLE' then local_double_text(try_cast(j->>'$' as double))
         else j->>'$' end;
create macro local_decimal_quotient(a, b) as
    case when b = 0 then local_fail('DIVISION_BY_ZERO', 'Division by zero', cast(a as varchar) || cast(b as varchar))::hugeint
         else (a // b) + case when abs(a % b) * 2 >= abs(b)
                              then case when (a < 0) = (b < 0) then 1 else -1 end else 0 end end;
create macro local_substr(s, start) as
    case when start = 0 or start > length(s) or -start > length(s) then (case when s is null or start is null then null else '' end)
         else substr(s, start) end;
create macro local_substr_length(s, start, size) as
    case when start = 0 or size <= 0 or start > length(s) or -start > length(s)
         then (case when s is null or start is null or size is null then null else '' end)
         else substr(s, start, size) end;
create macro local_element_at(a, i) as
    case when a is null or i is null then null
         when i = 0 then local_fail('INVALID_FUNCTION_ARGUMENT', 'SQL array indices start at 1', cast(a as varchar) || cast(i as varchar))
         else a[i] end;
create macro local_subscript(a, i) as
    case when a is null or i is null then null
         when i = 0 then local_fail('INVALID_FUNCTION_ARGUMENT', 'SQL array indices start at 1', cast(a as varchar) || cast(i as varchar))
         when i < 0 then local_fail('INVALID_FUNCTION_ARGUMENT', 'Array subscript is negative: ' || i, cast(a as varchar) || cast(i as varchar))
         when i > len(a) then local_fail('INVALID_FUNCTION_ARGUMENT', 'Array subscript must be less than or equal to array length: ' || i || ' > ' || len(a), cast(a as varchar) || cast(i as varchar))
         else a[i] end;
create macro local_map_get(m, k) as
    case when m is null or k is null then null
         when not list_contains(map_keys(m), k) then local_fail('INVALID_FUNCTION_ARGUMENT', 'Key not present in map: ' || cast(k as varchar), cast(m as varchar) || cast(k as varchar))
         else map_extract_value(m, k) end;
create macro local_sequence(a, b, step) as
    case when step = 0 then local_fail('INVALID_FUNCTION_ARGUMENT', 'interval must not be zero', cast(a as varchar) || cast(b as varchar) || cast(step as varchar))
         when (b > a and step < 0) or (b < a and step > 0)
         then local_fail('INVALID_FUNCTION_ARGUMENT', 'sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop should be less than or equal to start', cast(a as varchar) || cast(b as varchar) || cast(step as varchar))
         when (b - a) // step >= 10000 then local_fail('INVALID_FUNCTION_ARGUMENT', 'result of sequence function must not have more than 10000 entries', cast(a as varchar) || cast(b as varchar) || cast(step as varchar))
         else generate_series(a, b, step) end;
create macro local_sequence_days(a, b, step) as
    list_transform(local_sequence(0, cast(b - a as bigint), step), lambda n: a + cast(n as integer));
create macro local_sequence_micros(a, b, step) as
    list_transform(local_sequence(epoch_us(a), epoch_us(b), step), lambda n: make_timestamp(n));
create macro local_sequence_months(a, b, step) as
    list_filter(list_transform(
        case when step = 0 or (b > a and step < 0) or (b < a and step > 0)
             then local_fail('INVALID_FUNCTION_ARGUMENT', 'sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop should be less than or equal to start', cast(a as varchar) || cast(b as varchar) || cast(step as varchar))
             else generate_series(0, cast(date_sub('month', cast(a as timestamp), cast(b as timestamp)) as bigint) // step) end,
        lambda n: a + to_months(cast(n * step as integer))), lambda t: case when step > 0 then t <= b else t >= b end);
create macro local_split_part(s, d, n) as
    case when s is null or d is null or n is null then null
         when n <= 0 then local_fail('INVALID_FUNCTION_ARGUMENT', 'Index must be greater than zero', cast(s as varchar) || cast(d as varchar) || cast(n as varchar))
         when n > length(s) - length(replace(s, d, '')) + 1 and length(d) = 1 then null
         when n > len(str_split(s, d)) then null
         else str_split(s, d)[n] end;
create macro local_regexp_extract(s, p, g) as
    case when regexp_matches(s, p) then regexp_extract(s, p, g) end;
create macro local_json_extract_scalar(j, p, steps) as
    case json_type(j, p) when 'OBJECT' then null when 'ARRAY' then null when 'NULL' then null
         when 'DOUBLE'
         then case when regexp_matches(cast(j as varchar), '[.][0-9]*0(?:[^0-9]|$)|[0-9][eE]|[0-9]{16}')
                   then py_json_number(cast(j as varchar), steps) else json_extract_string(j, p) end
         else json_extract_string(j, p) end;
create macro local_url(u, n) as
    case when u is null then null
         when regexp_full_match(u, '[^\s<>"{}|\\^`]*') then
            regexp_extract(u, '^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://(?:[^/?#@]*@)?([^/?#:]*|\[[^\]]*\])(?::([0-9]*))?)?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$', n)
         else null end;
create macro local_url_path(u) as
    case when local_url(u, 4)[1] <> '/' and local_url(u, 1) <> '' then '' else local_url_part(u, 4) end;
create macro local_blank() as
    chr(32) || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(28) || chr(29) ||
    chr(30) || chr(31) || chr(5760) || chr(8192) || chr(8193) || chr(8194) || chr(8195) ||
    chr(8196) || chr(8197) || chr(8198) || chr(8200) || chr(8201) || chr(8202) || chr(8232) ||
    chr(8233) || chr(8287) || chr(12288);
create macro local_url_part(u, n) as
    case when contains(local_url(u, n), '%') then py_url_unquote(local_url(u, n)) else local_url(u, n) end;
create macro local_substr_hex(h, start, size) as
    case when start = 0 or size <= 0 or abs(start) * 2 > length(h) then (case when h is null or start is null or size is null then null else '' end)
         when start > 0 then substr(h, start * 2 - 1, size * 2)
         else substr(h, length(h) + start * 2 + 1, size * 2) end;
create macro local_strpos_instance(s, part, n) as
    case when s is null or part is null or n is null then null
         when n = 0 then local_fail('INVALID_FUNCTION_ARGUMENT', '''instance'' must not be a positive or negative number.', s)
         when part = '' then 0
         when abs(n) > len(str_split(s, part)) - 1 then 0
         else cast(length(array_to_string(str_split(s, part)[1 : case when n > 0 then n else len(str_split(s, part)) + n end], part)) + 1 as bigint) end;
create macro local_multimap(entries) as
    case when entries is null then null else map_from_entries(list_transform(
        list_reduce(list_transform(entries, lambda e: [e.k]), lambda a, b: case when list_contains(a, b[1]) then a else list_concat(a, b) end, list_transform(entries, lambda e: e.k)[1:0]),
        lambda w: struct_pack(k := w, v := list_transform(list_filter(entries, lambda e: e.k = w), lambda e: e.v)))) end;
create macro local_map_union(maps) as
    case when maps is null or len(list_filter(maps, lambda m: m is not null)) = 0 then null else map_from_entries(list_reverse(list_reduce(
        list_transform(list_reverse(flatten(list_transform(list_filter(maps, lambda m: m is not null), lambda m: map_entries(m)))), lambda e: [e]),
        lambda a, b: case when list_contains(list_transform(a, lambda e: e.key), b[1].key) then a else list_concat(a, b) end,
        map_entries(list_filter(maps, lambda m: m is not null)[1])[1:0]))) end;
create macro local_ngrams(a, n) as
    case when n <= 0 then local_fail('INVALID_FUNCTION_ARGUMENT', 'N must be positive', cast(a as varchar))
         when len(a) < n then [a]
         else list_transform(range(1, len(a) - n + 2), lambda i: a[i : i + n - 1]) end;
create macro local_histogram(a) as
    case when a is null then null else map_from_entries(list_transform(
        list_distinct(list_filter(a, lambda e: e is not null)),
        lambda w: struct_pack(k := w, v := cast(len(list_filter(a, lambda e: e = w)) as bigint)))) end;
create macro local_combinations(a, n) as
    case when n < 0 or n > 5 then local_fail('INVALID_FUNCTION_ARGUMENT', 'combination size must not be negative or exceed 5: ' || n, cast(a as varchar))
         when n = 0 then [a[1:0]]
         when n > len(a) then [a][1:0]
         else list_transform(list_filter(range(cast(pow(2, len(a)) as bigint)), lambda m: bit_count(m) = n),
                             lambda m: list_filter(a, lambda e, i: (m >> (i - 1)) & 1 = 1)) end;
create macro local_skewness(n, sample) as
    case when n < 3 then null else sample * (n - 2) / sqrt(cast(n as double) * (n - 1)) end;
create macro local_pieces(s, d) as case when s = '' then [] else str_split(s, d) end;
create macro local_weighted(pairs, p) as
    list_sort(flatten(list_transform(list_filter(pairs, lambda e: e.v is not null and e.w is not null),
        lambda e: list_transform(range(cast(e.w as bigint)), lambda i: e.v))))
    [least(cast(floor(p * list_sum(list_transform(list_filter(pairs, lambda e: e.v is not null), lambda e: e.w))) as bigint) + 1,
           cast(list_sum(list_transform(list_filter(pairs, lambda e: e.v is not null), lambda e: e.w)) as bigint))];
create macro local_cosine(a, b) as
    case when a is null or b is null then null else
    list_sum(list_transform(map_keys(a), lambda k: map_extract_value(a, k) * coalesce(map_extract_value(b, k), 0)))
    / (sqrt(list_sum(list_transform(map_values(a), lambda x: x * x))) * sqrt(list_sum(list_transform(map_values(b), lambda x: x * x)))) end;
create macro local_comparison(x) as
    case when x in (-1, 0, 1) then x
         else local_fail('INVALID_FUNCTION_ARGUMENT', 'Lambda comparator must return either -1, 0, or 1', cast(x as varchar))::integer end;
create macro local_max(all_, numbers) as case when isnan(all_) then coalesce(numbers, all_) else all_ end;
create macro local_valid(j) as case when json_valid(j) then cast(j as json) end;
create macro local_wilson(successes, trials, z, side) as
    (successes / cast(trials as double) + z * z / (2 * trials)
     + side * z * sqrt((successes / cast(trials as double) * (1 - successes / cast(trials as double)) + z * z / (4 * trials)) / trials))
    / (1 + z * z / trials);
create macro local_fits(s, n) as
    case when length(s) <= n or s is null then s
         else local_fail('INVALID_CAST_ARGUMENT', 'Cannot truncate non-space characters on INSERT', s) end;
