-- Tile:   customer segmentation.
-- Input:  TOP_CUSTOMERS.
-- Output: customers and revenue of each tier, highest revenue first.
-- One row per tier that has customers.
SELECT
    customer_tier,
    COUNT(*) AS customers,
    SUM(lifetime_revenue) AS revenue
FROM TOP_CUSTOMERS
GROUP BY customer_tier
ORDER BY revenue DESC, customer_tier
