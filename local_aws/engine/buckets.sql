-- In which bucket a value lies: Iceberg's murmur3 and Hive's hash; see buckets.py.
create macro bucket_bytes(b) as
    list_transform(range(octet_length(b)), lambda i: cast('0x' || substr(hex(b), 2 * i + 1, 2) as ubigint));
create macro bucket_rotate(x, n) as ((x << n) | (x >> (32 - n))) & 4294967295::ubigint;
create macro bucket_times(x, y) as (x * y) & 4294967295::ubigint;
create macro bucket_key(k) as
    bucket_times(list_transform([bucket_times(k, 3432918353::ubigint)], lambda p: bucket_rotate(p, 15::ubigint))[1],
                 461845907::ubigint);
create macro bucket_mix(h, k) as
    (list_transform([xor(h, bucket_key(k))], lambda p: bucket_rotate(p, 13::ubigint))[1] * 5 + 3864292196::ubigint)
    & 4294967295::ubigint;
create macro bucket_shift(h, n) as list_transform([h], lambda p: xor(p, p >> n))[1];
create macro bucket_last(h) as
    bucket_shift(bucket_times(bucket_shift(bucket_times(bucket_shift(h, 16::ubigint), 2246822507::ubigint),
                                           13::ubigint), 3266489909::ubigint), 16::ubigint);
create macro bucket_murmur(blocks, tail, size) as
    bucket_last(xor(xor(list_reduce(list_prepend(0::ubigint, blocks), lambda h, k: bucket_mix(h, k)),
                        bucket_key(tail)), size::ubigint));
create macro bucket_of_long(v) as
    bucket_murmur([(v::hugeint & 4294967295)::ubigint, ((v::hugeint >> 32) & 4294967295)::ubigint], 0::ubigint, 8);
create macro bucket_of_bytes(bytes) as
    bucket_murmur(
        list_transform(range(len(bytes) // 4), lambda i:
            bytes[4 * i + 1] + (bytes[4 * i + 2] << 8::ubigint) + (bytes[4 * i + 3] << 16::ubigint)
            + (bytes[4 * i + 4] << 24::ubigint)),
        coalesce(list_sum(list_transform(range(len(bytes) % 4), lambda i:
            bytes[4 * (len(bytes) // 4) + i + 1] << (8 * i)::ubigint))::ubigint, 0::ubigint),
        len(bytes));
create macro bucket_hive_bytes(bytes) as
    list_reduce(list_prepend(0::bigint, list_transform(bytes, lambda b:
        case when b > 127 then b::bigint - 256 else b::bigint end)), lambda h, b: (h * 31 + b) & 4294967295);
create macro bucket_hive_long(v) as
    xor((v::hugeint & 4294967295)::bigint, ((v::hugeint >> 32) & 4294967295)::bigint);
