-- Input:  clean_events.
-- Output: what a customer did on a day, by the event's own time in UTC.
-- One row per customer and day.
SELECT
    customer_id,
    CAST(event_timestamp AS DATE) AS event_date,
    COUNT(*) FILTER (WHERE event_type = 'PAGE_VIEW') AS page_views,
    COUNT(*) FILTER (WHERE event_type = 'ADD_TO_CART') AS add_to_cart_count,
    COUNT(*) FILTER (WHERE event_type = 'PURCHASE') AS purchase_count,
    COALESCE(SUM(amount) FILTER (WHERE event_type = 'PURCHASE'), 0) AS total_revenue
FROM clean_events
GROUP BY customer_id, CAST(event_timestamp AS DATE)
