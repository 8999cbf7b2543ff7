-- The tables of the corpus: in Trino's memory, and in Parquet for local_aws. Every type that a
-- Hive table holds, with nulls, NaN, infinities, the ends of each range and awkward text.

create table numbers as
select * from (values
    (1, true, tinyint '1', smallint '1', 1, bigint '1', real '1.5', 1.5e0, cast(1.50 as decimal(10,2)), cast(1.0000000001 as decimal(30,10))),
    (2, false, tinyint '-128', smallint '-32768', -2147483648, bigint '-9223372036854775808', real '-0.1', -1.0e-5, cast(-99999999.99 as decimal(10,2)), cast(-12345678901234567890.0123456789 as decimal(30,10))),
    (3, null, null, null, null, null, null, null, null, null),
    (4, true, tinyint '127', smallint '32767', 2147483647, bigint '9223372036854775807', real '3.4028235E38', 1.7976931348623157e308, cast(99999999.99 as decimal(10,2)), cast(12345678901234567890.0123456789 as decimal(30,10))),
    (5, false, tinyint '0', smallint '0', 0, bigint '0', real 'NaN', nan(), cast(0 as decimal(10,2)), cast(0 as decimal(30,10))),
    (6, true, tinyint '7', smallint '7', 7, bigint '7', cast(infinity() as real), -infinity(), cast(-0.05 as decimal(10,2)), cast(2.5 as decimal(30,10))),
    (7, false, tinyint '-7', smallint '-7', -7, bigint '-7', real '2.5', 1.0e10, cast(2.35 as decimal(10,2)), cast(-2.5 as decimal(30,10)))
) as t (id, flag, tiny, small, whole, big, single, wide, money, exact);

create table texts as
select * from (values
    (1, 'hello', cast('hello' as varchar(10)), to_utf8('hello')),
    (2, '', cast('' as varchar(10)), x''),
    (3, null, null, null),
    (4, ' Two  words ', cast('two words' as varchar(10)), x'00ff10'),
    (5, 'ÄÖü ß é', cast('äöü' as varchar(10)), to_utf8('äöü')),
    (6, 'a,b,,c', cast('100%_x' as varchar(10)), x'ff'),
    (7, '日本語😀', cast('O''Brien' as varchar(10)), to_utf8('😀')),
    (8, '123', cast('-4.50' as varchar(10)), x'31')
) as t (id, body, short, bytes);

create table moments as
select * from (values
    (1, date '2024-01-31', timestamp '2024-01-31 23:59:59.999'),
    (2, date '2024-02-29', timestamp '2024-02-29 00:00:00.000'),
    (3, null, null),
    (4, date '1969-12-31', timestamp '1969-12-31 23:59:59.001'),
    (5, date '2023-12-31', timestamp '2023-12-31 12:34:56.789'),
    (6, date '2025-01-01', timestamp '2025-01-01 01:02:03.004'),
    (7, date '1900-03-01', timestamp '1900-03-01 06:00:00.500'),
    (8, date '2020-12-28', timestamp '2020-12-28 18:30:00.000')
) as t (id, day_, at_);

create table nested as
select * from (values
    (1, array[3, 1, 2], array['b', 'a', 'c'], map(array['x', 'y'], array[1, 2]), cast(row(1, 'one') as row(num integer, word varchar)), array[array[1, 2], array[3]]),
    (2, array[5, null, 5], array['z', null], map(array['x', 'z'], array[null, 9]), cast(row(2, null) as row(num integer, word varchar)), array[null, array[4]]),
    (3, cast(null as array(integer)), cast(null as array(varchar)), cast(null as map(varchar, integer)), cast(null as row(num integer, word varchar)), cast(null as array(array(integer)))),
    (4, cast(array[] as array(integer)), cast(array[] as array(varchar)), cast(map() as map(varchar, integer)), cast(row(null, '') as row(num integer, word varchar)), array[cast(array[] as array(integer))])
) as t (id, nums, words, pairs, pair, lists);

create table people as
select * from (values
    (1, 'ann', 'north', 34, date '2020-01-15', cast(120.50 as decimal(10,2))),
    (2, 'bob', 'south', 28, date '2021-06-01', cast(99.99 as decimal(10,2))),
    (3, 'cid', 'north', 45, date '2019-03-20', cast(250.00 as decimal(10,2))),
    (4, 'dee', 'east', null, date '2022-11-11', null),
    (5, 'eve', 'south', 28, null, cast(75.25 as decimal(10,2))),
    (6, 'fay', null, 51, date '2020-01-15', cast(310.10 as decimal(10,2)))
) as t (id, name, region, age, joined, spend);

create table orders as
select * from (values
    (10, 1, 20.0e0, 'open'),
    (11, 1, 35.5e0, 'paid'),
    (12, 2, 12.25e0, 'paid'),
    (13, 3, 99.0e0, 'void'),
    (14, 9, 5.0e0, 'paid'),
    (15, null, 7.5e0, 'open')
) as t (order_id, person_id, amount, state);

create table documents as
select * from (values
    (1, '{"a": 1, "b": {"c": [10, 20, 30]}, "name": "x"}'),
    (2, '[1, "two", null, true, 2.5]'),
    (3, null),
    (4, '{"a": null, "b": "text", "k.e": 5}'),
    (5, '"plain"'),
    (6, '{"a": "7", "list": [{"p": 1}, {"p": 2}], "empty": {}}'),
    (7, 'not json'),
    (8, '{"t": true, "n": -12.50, "e": 1e3, "u": "\u00e9", "big": 12345678901234567890}')
) as t (id, body);
