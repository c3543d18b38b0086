-- Input:  CUSTOMER_DAILY_METRICS.
-- Output: the metrics as they are now, the average order and an engagement score: a view counts 1, a cart 3, a
--         purchase 10. avg_order_value is 0 without purchases.
-- One row per customer and day.
CREATE OR REPLACE VIEW ${database}.${schema}.REAL_TIME_CUSTOMER_METRICS AS
SELECT
    customer_id,
    event_date,
    page_views,
    add_to_cart_count,
    purchase_count,
    total_revenue,
    CASE WHEN purchase_count = 0 THEN 0
         ELSE CAST(CAST(total_revenue AS DECIMAL(38, 12)) / purchase_count AS DECIMAL(38, 2)) END AS avg_order_value,
    page_views + 3 * add_to_cart_count + 10 * purchase_count AS engagement_score
FROM ${database}.${schema}.CUSTOMER_DAILY_METRICS
ORDER BY event_date DESC, customer_id;
