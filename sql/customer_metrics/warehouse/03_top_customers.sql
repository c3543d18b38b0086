-- Input:  CUSTOMER_DAILY_METRICS.
-- Output: what a customer is worth so far. conversion_rate is purchases per 100 carts; ratios are rounded half up to
--         2 places, 0 where there is nothing to divide by. The tier follows the revenue: 1000, 500, 100.
-- One row per customer, highest revenue first, so that who bought nothing comes last.
CREATE OR REPLACE VIEW ${database}.${schema}.TOP_CUSTOMERS AS
SELECT
    customer_id,
    lifetime_revenue,
    total_purchases,
    total_page_views,
    total_add_to_cart,
    active_days,
    CASE WHEN total_purchases = 0 THEN 0
         ELSE CAST(CAST(lifetime_revenue AS DECIMAL(38, 12)) / total_purchases AS DECIMAL(38, 2)) END AS avg_order_value,
    CAST(CAST(lifetime_revenue AS DECIMAL(38, 12)) / active_days AS DECIMAL(38, 2)) AS revenue_per_day,
    CASE WHEN total_add_to_cart = 0 THEN 0
         ELSE CAST(CAST(100 * total_purchases AS DECIMAL(30, 12)) / total_add_to_cart AS DECIMAL(38, 2)) END AS conversion_rate,
    CASE WHEN lifetime_revenue >= 1000 THEN 'VIP'
         WHEN lifetime_revenue >= 500 THEN 'Premium'
         WHEN lifetime_revenue >= 100 THEN 'Regular'
         ELSE 'New' END AS customer_tier
FROM (
    SELECT
        customer_id,
        SUM(total_revenue) AS lifetime_revenue,
        SUM(purchase_count) AS total_purchases,
        SUM(page_views) AS total_page_views,
        SUM(add_to_cart_count) AS total_add_to_cart,
        COUNT(DISTINCT event_date) AS active_days
    FROM ${database}.${schema}.CUSTOMER_DAILY_METRICS
    GROUP BY customer_id
) AS customers
ORDER BY lifetime_revenue DESC, customer_id;
