-- Creates: the table that the clean events are appended to. Times are UTC.
-- One row per clean event.
CREATE TABLE IF NOT EXISTS ${database}.${schema}.KAFKA_EVENTS_SILVER (
    EVENT_ID             VARCHAR          NOT NULL,
    CUSTOMER_ID          VARCHAR          NOT NULL,
    EVENT_TYPE           VARCHAR          NOT NULL,
    AMOUNT               NUMBER(18, 2)    NOT NULL,
    CURRENCY             VARCHAR          NOT NULL,
    EVENT_TIMESTAMP      TIMESTAMP_NTZ(6) NOT NULL,
    PROCESSING_TIMESTAMP TIMESTAMP_NTZ(6) NOT NULL
);
