-- Input:  KAFKA_EVENTS_SILVER.
-- Output: the hour that has begun and the 23 full hours before it, in UTC, whatever the time zone of the session.
-- One row per hour with events, newest first.
CREATE OR REPLACE VIEW ${database}.${schema}.HOURLY_TRENDS AS
SELECT
    DATE_TRUNC('HOUR', event_timestamp) AS event_hour,
    COUNT(CASE WHEN event_type = 'PAGE_VIEW' THEN 1 END) AS page_views,
    COUNT(CASE WHEN event_type = 'ADD_TO_CART' THEN 1 END) AS add_to_cart,
    COUNT(CASE WHEN event_type = 'PURCHASE' THEN 1 END) AS purchases,
    SUM(CASE WHEN event_type = 'PURCHASE' THEN amount ELSE 0 END) AS revenue,
    COUNT(DISTINCT customer_id) AS unique_customers
FROM ${database}.${schema}.KAFKA_EVENTS_SILVER
WHERE event_timestamp >= DATE_TRUNC('HOUR', SYSDATE()) - INTERVAL '23 hours'
  AND event_timestamp < DATE_TRUNC('HOUR', SYSDATE()) + INTERVAL '1 hour'
GROUP BY DATE_TRUNC('HOUR', event_timestamp)
ORDER BY event_hour DESC;
