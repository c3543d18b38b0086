-- Input:  KAFKA_EVENTS_SILVER.
-- Output: how many views became carts and how many carts became purchases; rates are per 100, rounded half up
--         to 2 places, 0 where there is nothing to divide by.
-- One row per day, newest first.
CREATE OR REPLACE VIEW ${database}.${schema}.EVENT_FUNNEL AS
SELECT
    event_date,
    page_views,
    add_to_cart,
    purchases,
    CASE WHEN page_views = 0 THEN 0
         ELSE CAST(CAST(100 * add_to_cart AS DECIMAL(30, 12)) / page_views AS DECIMAL(38, 2)) END AS page_to_cart_rate,
    CASE WHEN add_to_cart = 0 THEN 0
         ELSE CAST(CAST(100 * purchases AS DECIMAL(30, 12)) / add_to_cart AS DECIMAL(38, 2)) END AS cart_to_purchase_rate,
    CASE WHEN page_views = 0 THEN 0
         ELSE CAST(CAST(100 * purchases AS DECIMAL(30, 12)) / page_views AS DECIMAL(38, 2)) END AS overall_conversion_rate
FROM (
    SELECT
        CAST(event_timestamp AS DATE) AS event_date,
        COUNT(CASE WHEN event_type = 'PAGE_VIEW' THEN 1 END) AS page_views,
        COUNT(CASE WHEN event_type = 'ADD_TO_CART' THEN 1 END) AS add_to_cart,
        COUNT(CASE WHEN event_type = 'PURCHASE' THEN 1 END) AS purchases
    FROM ${database}.${schema}.KAFKA_EVENTS_SILVER
    GROUP BY CAST(event_timestamp AS DATE)
) AS days
ORDER BY event_date DESC;
