{# Which days looked unusual?
   The 20 numbers of the last eight weeks that strayed most from the median of their weekday. An
   alert wants an explanation, a warning a look; suppressed means that records are missing first. #}

with

anomalies as (

    select * from {{ ref('metrics_anomaly_daily') }}

),

newest_date as (

    select max(metric_date) as metric_date from anomalies

),

scores_listed as (

    select
        anomalies.metric_date,
        anomalies.metric,
        anomalies.dimension,
        anomalies.value,
        anomalies.expected,
        anomalies.low,
        anomalies.high,
        anomalies.score,
        anomalies.flag,
        anomalies.is_final,
        anomalies.completeness_pct

    from anomalies
    inner join
        newest_date
        on anomalies.metric_date > date_add('day', -56, newest_date.metric_date)

)

select * from scores_listed
order by abs(score) desc nulls last, metric_date desc, metric asc, dimension asc
limit 20
