"""The allow-list: every function, its signature as in Athena, its meaning in DuckDB.

``{0}`` is the first argument, ``{args}`` all of them. A name with ``$`` is a special form of the
grammar. For aggregates ``{d}`` is DISTINCT, ``{o}`` ORDER BY, ``{w}`` FILTER and OVER. What is
not here is refused with FUNCTION_NOT_FOUND.
"""

from __future__ import annotations

from local_aws.engine.signatures import Overload, read_table

_TEXT = r"""
length(varchar) -> bigint = CAST(length({0}) AS BIGINT)
length(varbinary) -> bigint = CAST(octet_length({0}) AS BIGINT)
lower(varchar) -> varchar = lower({0})
upper(varchar) -> varchar = upper({0})
trim(varchar) -> varchar = trim({0})
trim(varchar, varchar) -> varchar = trim({0}, {1})
ltrim(varchar) -> varchar = ltrim({0})
ltrim(varchar, varchar) -> varchar = ltrim({0}, {1})
rtrim(varchar) -> varchar = rtrim({0})
rtrim(varchar, varchar) -> varchar = rtrim({0}, {1})
substr(varchar, bigint) -> varchar = local_substr({0}, {1})
substr(varchar, bigint, bigint) -> varchar = local_substr_length({0}, {1}, {2})
substring(varchar, bigint) -> varchar = local_substr({0}, {1})
substring(varchar, bigint, bigint) -> varchar = local_substr_length({0}, {1}, {2})
replace(varchar, varchar) -> varchar = replace({0}, {1}, '')
replace(varchar, varchar, varchar) -> varchar = replace({0}, {1}, {2})
reverse(varchar) -> varchar = reverse({0})
reverse(array(T)) -> array(T) = list_reverse({0})
strpos(varchar, varchar) -> bigint = CAST(strpos({0}, {1}) AS BIGINT)
starts_with(varchar, varchar) -> boolean = starts_with({0}, {1})
lpad(varchar, bigint, varchar) -> varchar = lpad({0}, CAST({1} AS INTEGER), {2})
rpad(varchar, bigint, varchar) -> varchar = rpad({0}, CAST({1} AS INTEGER), {2})
split(varchar, varchar) -> array(varchar) = str_split({0}, {1})
split_part(varchar, varchar, bigint) -> varchar = local_split_part({0}, {1}, {2})
chr(bigint) -> varchar = chr(CAST({0} AS INTEGER))
codepoint(varchar) -> integer = CAST(unicode({0}) AS INTEGER)
translate(varchar, varchar, varchar) -> varchar = translate({0}, {1}, {2})
levenshtein_distance(varchar, varchar) -> bigint = CAST(levenshtein({0}, {1}) AS BIGINT)
hamming_distance(varchar, varchar) -> bigint = CAST(hamming({0}, {1}) AS BIGINT)
concat_ws(varchar, varchar...) -> varchar = concat_ws({args})
regexp_like(varchar, varchar) -> boolean = regexp_matches({0}, {1})
regexp_count(varchar, varchar) -> bigint = CAST(len(regexp_extract_all({0}, {1})) AS BIGINT)
regexp_extract_all(varchar, varchar) -> array(varchar) = regexp_extract_all({0}, {1})
regexp_split(varchar, varchar) -> array(varchar) = regexp_split_to_array({0}, {1})
to_utf8(varchar) -> varbinary = encode({0})
from_utf8(varbinary) -> varchar = decode({0})
to_hex(varbinary) -> varchar = hex({0})
from_hex(varchar) -> varbinary = unhex({0})
to_base64(varbinary) -> varchar = to_base64({0})
from_base64(varchar) -> varbinary = from_base64({0})
md5(varbinary) -> varbinary = unhex(md5({0}))
sha1(varbinary) -> varbinary = unhex(sha1({0}))
sha256(varbinary) -> varbinary = unhex(sha256({0}))
url_extract_protocol(varchar) -> varchar = local_url({0}, 1)
url_extract_host(varchar) -> varchar = local_url({0}, 2)
url_extract_path(varchar) -> varchar = local_url({0}, 4)
url_extract_query(varchar) -> varchar = local_url({0}, 5)
url_extract_fragment(varchar) -> varchar = local_url({0}, 6)
url_decode(varchar) -> varchar = url_decode(replace({0}, '+', '%20'))
"""

_NUMBERS = r"""
abs(bigint) -> bigint = abs({0})
abs(double) -> double = abs({0})
ceil(double) -> double = ceil({0})
ceiling(double) -> double = ceil({0})
floor(double) -> double = floor({0})
round(double) -> double = local_round({0})
sqrt(double) -> double = sqrt({0})
cbrt(double) -> double = cbrt({0})
exp(double) -> double = exp({0})
ln(double) -> double = ln({0})
log2(double) -> double = log2({0})
log10(double) -> double = log10({0})
log(double, double) -> double = ln({1}) / ln({0})
power(double, double) -> double = pow({0}, {1})
pow(double, double) -> double = pow({0}, {1})
sin(double) -> double = sin({0})
cos(double) -> double = cos({0})
tan(double) -> double = tan({0})
asin(double) -> double = asin({0})
acos(double) -> double = acos({0})
atan(double) -> double = atan({0})
atan2(double, double) -> double = atan2({0}, {1})
degrees(double) -> double = degrees({0})
radians(double) -> double = radians({0})
pi() -> double = pi()
e() -> double = exp(1.0::DOUBLE)
nan() -> double = 'NaN'::DOUBLE
infinity() -> double = 'Infinity'::DOUBLE
is_nan(double) -> boolean = isnan({0})
is_finite(double) -> boolean = isfinite({0})
is_infinite(double) -> boolean = isinf({0})
mod(bigint, bigint) -> bigint = ({0} % {1})
mod(double, double) -> double = fmod({0}, {1})
sign(bigint) -> bigint = CAST(sign({0}) AS BIGINT)
sign(double) -> double = CAST(sign({0}) AS DOUBLE)
bitwise_and(bigint, bigint) -> bigint = ({0} & {1})
bitwise_or(bigint, bigint) -> bigint = ({0} | {1})
bitwise_xor(bigint, bigint) -> bigint = xor({0}, {1})
bitwise_not(bigint) -> bigint = (~{0})
bit_count(bigint, bigint) -> bigint = CAST(CASE WHEN {1} = 64 THEN bit_count({0}) ELSE local_fail('NOT_SUPPORTED', 'bit_count of other than 64 bits', CAST({0} AS VARCHAR))::BIGINT END AS BIGINT)
rand() -> double = random()
random() -> double = random()
width_bucket(double, double, double, bigint) -> bigint = CAST(CASE WHEN {0} < {1} THEN 0 WHEN {0} >= {2} THEN {3} + 1 ELSE floor(({0} - {1}) / (({2} - {1}) / {3})) + 1 END AS BIGINT)
"""

_TIMES = r"""
to_unixtime(timestamptz) -> double = (epoch_us(({0}).i) / 1000000.0::DOUBLE)
to_unixtime(timestamp) -> double = (epoch_us({0}) / 1000000.0::DOUBLE)
from_unixtime(double) -> timestamp(3) with time zone = local_at_utc(make_timestamp(CAST(local_round({0} * 1000) AS BIGINT) * 1000))
from_unixtime(double, varchar) -> timestamp(3) with time zone = local_pack(make_timestamp(CAST(local_round({0} * 1000) AS BIGINT) * 1000), {1})
from_iso8601_timestamp(varchar) -> timestamp(3) with time zone = local_from_iso8601({0})
from_iso8601_date(varchar) -> date = CAST(local_check({0}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}', 'date', false) AS DATE)
date(timestamptz) -> date = CAST(local_wall({0}) AS DATE)
day_of_week(date) -> bigint = CAST(isodow({0}) AS BIGINT)
last_day_of_month(date) -> date = last_day({0})
day(interval_day_to_second) -> bigint = ({0} // 86400000)
to_milliseconds(interval_day_to_second) -> bigint = {0}
with_timezone(timestamp, varchar) -> timestamptz = local_with_zone({0}, {1})
at_timezone(timestamptz, varchar) -> timestamptz = local_pack(({0}).i, {1})
to_iso8601(date) -> varchar = CAST({0} AS VARCHAR)
"""

_NESTED = r"""
cardinality(array(T)) -> bigint = CAST(len({0}) AS BIGINT)
cardinality(map(K, V)) -> bigint = CAST(cardinality({0}) AS BIGINT)
element_at(array(T), bigint) -> T = local_element_at({0}, {1})
element_at(map(K, V), K) -> V = map_extract_value({0}, {1})
contains(array(T), T) -> boolean = CASE WHEN {1} IS NULL THEN NULL WHEN list_contains({0}, {1}) THEN true WHEN len(list_filter({0}, lambda y_: y_ IS NULL)) > 0 THEN NULL ELSE list_contains({0}, {1}) END
array_position(array(T), T) -> bigint = CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE CAST(coalesce(list_position({0}, {1}), 0) AS BIGINT) END
array_distinct(array(T)) -> array(T) = list_filter({0}, lambda x_, i_: CASE WHEN x_ IS NULL THEN i_ = 1 + len(list_filter({0}[1:i_ - 1], lambda y_: true)) AND len(list_filter({0}[1:i_ - 1], lambda y_: y_ IS NULL)) = 0 ELSE NOT list_contains({0}[1:i_ - 1], x_) END)
array_sort(array(T)) -> array(T) = list_sort({0}, 'ASC', 'NULLS LAST')
array_max(array(T)) -> T = CASE WHEN len(list_filter({0}, lambda y_: y_ IS NULL)) > 0 THEN NULL ELSE list_max({0}) END
array_min(array(T)) -> T = CASE WHEN len(list_filter({0}, lambda y_: y_ IS NULL)) > 0 THEN NULL ELSE list_min({0}) END
array_join(array(T), varchar) -> varchar = array_to_string(list_filter({0:text}, lambda y_: y_ IS NOT NULL), {1})
array_join(array(T), varchar, varchar) -> varchar = array_to_string(list_transform({0:text}, lambda y_: coalesce(y_, {2})), {1})
array_remove(array(T), T) -> array(T) = list_filter({0}, lambda y_: y_ IS DISTINCT FROM {1})
arrays_overlap(array(T), array(T)) -> boolean = CASE WHEN list_has_any(list_filter({0}, lambda y_: y_ IS NOT NULL), {1}) THEN true WHEN len(list_filter({0}, lambda y_: y_ IS NULL)) + len(list_filter({1}, lambda y_: y_ IS NULL)) > 0 THEN NULL ELSE list_has_any({0}, {1}) END
repeat(T, bigint) -> array(T) = list_transform(range({1}), lambda y_: {0})
slice(array(T), bigint, bigint) -> array(T) = CASE WHEN {1} = 0 THEN local_fail('INVALID_FUNCTION_ARGUMENT', 'SQL array indices start at 1', CAST({0} AS VARCHAR)) WHEN {2} < 0 THEN local_fail('INVALID_FUNCTION_ARGUMENT', 'length must be greater than or equal to 0', CAST({0} AS VARCHAR)) WHEN {1} > len({0}) OR -{1} > len({0}) OR {2} = 0 THEN {0}[1:0] WHEN {1} < 0 THEN {0}[len({0}) + {1} + 1 : len({0}) + {1} + {2}] ELSE {0}[{1} : {1} + {2} - 1] END
trim_array(array(T), bigint) -> array(T) = CASE WHEN {1} < 0 OR {1} > len({0}) THEN local_fail('INVALID_FUNCTION_ARGUMENT', 'size must not exceed array cardinality', CAST({0} AS VARCHAR)) ELSE {0}[1 : len({0}) - {1}] END
flatten(array(array(T))) -> array(T) = flatten({0})
transform(array(T), function(T, U)) -> array(U) = list_transform({0}, {1})
filter(array(T), function(T, boolean)) -> array(T) = list_filter({0}, {1})
any_match(array(T), function(T, boolean)) -> boolean = CASE WHEN {0} IS NULL THEN NULL WHEN list_contains(list_transform({0}, {1}), true) THEN true WHEN len(list_filter(list_transform({0}, {1}), lambda y_: y_ IS NULL)) > 0 THEN NULL ELSE false END
all_match(array(T), function(T, boolean)) -> boolean = CASE WHEN {0} IS NULL THEN NULL WHEN list_contains(list_transform({0}, {1}), false) THEN false WHEN len(list_filter(list_transform({0}, {1}), lambda y_: y_ IS NULL)) > 0 THEN NULL ELSE true END
none_match(array(T), function(T, boolean)) -> boolean = CASE WHEN {0} IS NULL THEN NULL WHEN list_contains(list_transform({0}, {1}), true) THEN false WHEN len(list_filter(list_transform({0}, {1}), lambda y_: y_ IS NULL)) > 0 THEN NULL ELSE true END
map() -> map(unknown, unknown) = MAP {{}}
map(array(K), array(V)) -> map(K, V) = map({0}, {1})
map_keys(map(K, V)) -> array(K) = map_keys({0})
map_values(map(K, V)) -> array(V) = map_values({0})
map_concat(map(K, V), map(K, V)...) -> map(K, V) = map_concat({args})
map_filter(map(K, V), function(K, V, boolean)) -> map(K, V) = map_from_entries(list_filter(map_entries({0}), {1:entry}))
transform_values(map(K, V), function(K, V, U)) -> map(K, U) = map_from_entries(list_transform(map_entries({0}), {1:keep_key}))
transform_keys(map(K, V), function(K, V, U)) -> map(U, V) = map_from_entries(list_transform(map_entries({0}), {1:keep_value}))
split_to_map(varchar, varchar, varchar) -> map(varchar, varchar) = map_from_entries(list_transform(str_split({0}, {1}), lambda y_: struct_pack(k := split_part(y_, {2}, 1), v := y_[length(split_part(y_, {2}, 1)) + length({2}) + 1 :])))
"""

_JSON = r"""
json_parse(varchar) -> json = CAST(json({0}) AS JSON)
json_format(json) -> varchar = CAST({0} AS VARCHAR)
json_extract(json, varchar) -> json = json_extract({0}, {1:path})
json_extract_scalar(json, varchar) -> varchar = local_json_extract_scalar({0}, {1:path})
json_array_length(json) -> bigint = CASE WHEN json_type({0}) = 'ARRAY' THEN CAST(json_array_length({0}) AS BIGINT) END
json_size(json, varchar) -> bigint = CASE json_type({0}, {1:path}) WHEN 'ARRAY' THEN CAST(json_array_length({0}, {1:path}) AS BIGINT) WHEN 'OBJECT' THEN CAST(len(json_keys({0}, {1:path})) AS BIGINT) WHEN NULL THEN NULL ELSE 0 END
is_json_scalar(json) -> boolean = (json_type({0}) NOT IN ('ARRAY', 'OBJECT'))
"""

_AGGREGATES = r"""
count(T) -> bigint = count({d}{0}){w}
count_if(boolean) -> bigint = CAST(count_if({d}{0}){w} AS BIGINT)
sum(bigint) -> bigint = CAST(sum({d}{0}){w} AS BIGINT)
sum(real) -> real = CAST(sum({d}{0}){w} AS FLOAT)
sum(double) -> double = sum({d}{0}){w}
sum(interval_day_to_second) -> interval_day_to_second = CAST(sum({d}{0}){w} AS BIGINT)
avg(real) -> real = CAST(avg({d}{0}){w} AS FLOAT)
avg(bigint) -> double = avg({d}{0}){w}
avg(double) -> double = avg({d}{0}){w}
min(T) -> T = min({d}{0}){w}
max(T) -> T = max({d}{0}){w}
min(T, bigint) -> array(T) = min({0}, {1}){w}
max(T, bigint) -> array(T) = max({0}, {1}){w}
min_by(T, U) -> T = arg_min_null({0}, {1}){w}
max_by(T, U) -> T = arg_max_null({0}, {1}){w}
arbitrary(T) -> T = any_value({0}){w}
any_value(T) -> T = any_value({0}){w}
bool_and(boolean) -> boolean = bool_and({0}){w}
bool_or(boolean) -> boolean = bool_or({0}){w}
every(boolean) -> boolean = bool_and({0}){w}
array_agg(T) -> array(T) = list({d}{0}{o}){w}
approx_distinct(T) -> bigint = count(DISTINCT {0}){w}
approx_distinct(T, double) -> bigint = count(DISTINCT {0}){w}
approx_percentile(bigint, double) -> bigint = quantile_disc({0}, {1:constant}){w}
approx_percentile(double, double) -> double = quantile_disc({0}, {1:constant}){w}
approx_percentile(bigint, array(double)) -> array(bigint) = quantile_disc({0}, {1:constant}){w}
approx_percentile(double, array(double)) -> array(double) = quantile_disc({0}, {1:constant}){w}
geometric_mean(double) -> double = geometric_mean({0}){w}
stddev(double) -> double = stddev_samp({0}){w}
stddev_samp(double) -> double = stddev_samp({0}){w}
stddev_pop(double) -> double = stddev_pop({0}){w}
variance(double) -> double = var_samp({0}){w}
var_samp(double) -> double = var_samp({0}){w}
var_pop(double) -> double = var_pop({0}){w}
corr(double, double) -> double = corr({0}, {1}){w}
covar_samp(double, double) -> double = covar_samp({0}, {1}){w}
covar_pop(double, double) -> double = covar_pop({0}, {1}){w}
regr_slope(double, double) -> double = regr_slope({0}, {1}){w}
regr_intercept(double, double) -> double = regr_intercept({0}, {1}){w}
skewness(double) -> double = skewness({0}){w}
bitwise_and_agg(bigint) -> bigint = bit_and({0}){w}
bitwise_or_agg(bigint) -> bigint = bit_or({0}){w}
histogram(T) -> map(T, bigint) = CAST(histogram({0}){w} AS MAP({T}, BIGINT))
map_agg(K, V) -> map(K, V) = map_from_entries(list(struct_pack(k := {0}, v := {1}){o}){w})
"""

_WINDOWS = r"""
row_number() -> bigint = row_number(){w}
rank() -> bigint = rank(){w}
dense_rank() -> bigint = dense_rank(){w}
percent_rank() -> double = percent_rank(){w}
cume_dist() -> double = cume_dist(){w}
ntile(bigint) -> bigint = ntile({0}){w}
lag(T) -> T = lag({0}{n}){w}
lag(T, bigint) -> T = lag({0}, {1}{n}){w}
lag(T, bigint, T) -> T = lag({0}, {1}, {2}{n}){w}
lead(T) -> T = lead({0}{n}){w}
lead(T, bigint) -> T = lead({0}, {1}{n}){w}
lead(T, bigint, T) -> T = lead({0}, {1}, {2}{n}){w}
first_value(T) -> T = first_value({0}{n}){w}
last_value(T) -> T = last_value({0}{n}){w}
nth_value(T, bigint) -> T = nth_value({0}, {1}{n}){w}
"""


def _load() -> dict[str, list[Overload]]:
    table: dict[str, list[Overload]] = {}
    for text in (_TEXT, _NUMBERS, _TIMES, _NESTED, _JSON):
        for name, overloads in read_table(text, "scalar").items():
            table.setdefault(name, []).extend(overloads)
    for text, kind in ((_AGGREGATES, "aggregate"), (_WINDOWS, "window")):
        for name, overloads in read_table(text, kind).items():
            table.setdefault(name, []).extend(overloads)
    return table


FUNCTIONS = _load()
