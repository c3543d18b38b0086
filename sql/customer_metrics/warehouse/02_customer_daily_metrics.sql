-- Creates: the table that gold/customer_daily_metrics.sql is upserted into.
-- One row per customer and day.
--   SLUICEBOX_VERSION  offset of the row in the gold topic; an upsert never goes back to a smaller one
CREATE TABLE IF NOT EXISTS ${database}.${schema}.CUSTOMER_DAILY_METRICS (
    CUSTOMER_ID       VARCHAR       NOT NULL,
    EVENT_DATE        DATE          NOT NULL,
    PAGE_VIEWS        NUMBER(19, 0) NOT NULL,
    ADD_TO_CART_COUNT NUMBER(19, 0) NOT NULL,
    PURCHASE_COUNT    NUMBER(19, 0) NOT NULL,
    TOTAL_REVENUE     NUMBER(28, 2) NOT NULL,
    SLUICEBOX_VERSION NUMBER(19, 0) NOT NULL,
    PRIMARY KEY (CUSTOMER_ID, EVENT_DATE)
);
