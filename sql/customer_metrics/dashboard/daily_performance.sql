-- Tile:   daily performance.
-- Input:  REAL_TIME_CUSTOMER_METRICS.
-- Output: views, carts, purchases and revenue, newest day first.
-- One row per day.
SELECT
    event_date,
    SUM(page_views) AS page_views,
    SUM(add_to_cart_count) AS add_to_cart,
    SUM(purchase_count) AS purchases,
    SUM(total_revenue) AS revenue
FROM REAL_TIME_CUSTOMER_METRICS
GROUP BY event_date
ORDER BY event_date DESC
