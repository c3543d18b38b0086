-- Tile:   historical analysis: revenue as the clean events tell it beside revenue as gold tells it.
-- Input:  DAILY_CUSTOMER_REVENUE, REAL_TIME_CUSTOMER_METRICS.
-- Output: difference is 0.00 when the two agree, which is the check that nothing was lost or counted twice.
-- One row in all.
SELECT
    silver.revenue AS silver_revenue,
    gold.revenue AS gold_revenue,
    silver.revenue - gold.revenue AS difference
FROM (SELECT COALESCE(SUM(total_revenue), 0) AS revenue FROM DAILY_CUSTOMER_REVENUE) AS silver
CROSS JOIN (SELECT COALESCE(SUM(total_revenue), 0) AS revenue FROM REAL_TIME_CUSTOMER_METRICS) AS gold
