-- Input:  the messages of the raw topic, one JSON object each.
-- Output: the fields of a message that this pipeline reads, by type; a field that is not listed is ignored.
-- One row per message.
--
-- amount is declared wider than money is kept, so that an unrounded amount is judged by the rules in
-- clean_events.sql, which can say what is wrong with it, and not refused here for its type.
-- The producer's own labels (is_valid, invalid_field) are left out on purpose: they are never a rule.
CREATE TABLE raw_events (
    event_id        VARCHAR,
    customer_id     VARCHAR,
    event_type      VARCHAR,
    amount          DECIMAL(38, 20),
    currency        VARCHAR,
    event_timestamp TIMESTAMP
)
