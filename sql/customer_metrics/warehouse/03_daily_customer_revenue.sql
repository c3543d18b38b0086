-- Input:  KAFKA_EVENTS_SILVER.
-- Output: the customer-daily metrics computed from the clean events themselves: what CUSTOMER_DAILY_METRICS must
--         agree with. avg_order_value is 0 without purchases.
-- One row per customer and day.
CREATE OR REPLACE VIEW ${database}.${schema}.DAILY_CUSTOMER_REVENUE AS
SELECT
    customer_id,
    event_date,
    total_revenue,
    purchase_count,
    page_views,
    add_to_cart_count,
    CASE WHEN purchase_count = 0 THEN 0
         ELSE CAST(CAST(total_revenue AS DECIMAL(38, 12)) / purchase_count AS DECIMAL(38, 2)) END AS avg_order_value
FROM (
    SELECT
        customer_id,
        CAST(event_timestamp AS DATE) AS event_date,
        SUM(CASE WHEN event_type = 'PURCHASE' THEN amount ELSE 0 END) AS total_revenue,
        COUNT(CASE WHEN event_type = 'PURCHASE' THEN 1 END) AS purchase_count,
        COUNT(CASE WHEN event_type = 'PAGE_VIEW' THEN 1 END) AS page_views,
        COUNT(CASE WHEN event_type = 'ADD_TO_CART' THEN 1 END) AS add_to_cart_count
    FROM ${database}.${schema}.KAFKA_EVENTS_SILVER
    GROUP BY customer_id, CAST(event_timestamp AS DATE)
) AS days
ORDER BY event_date DESC, customer_id;
