-- Tile:   conversion funnel.
-- Input:  EVENT_FUNNEL.
-- Output: events of each step over all days, and how many of 100 views became a purchase.
-- One row in all.
SELECT
    page_views,
    add_to_cart,
    purchases,
    CASE WHEN page_views = 0 THEN 0
         ELSE CAST(CAST(100 * purchases AS DECIMAL(38, 12)) / page_views AS DECIMAL(38, 2)) END AS overall_conversion_rate
FROM (
    SELECT
        COALESCE(SUM(page_views), 0) AS page_views,
        COALESCE(SUM(add_to_cart), 0) AS add_to_cart,
        COALESCE(SUM(purchases), 0) AS purchases
    FROM EVENT_FUNNEL
) AS totals
