-- Input:  raw_events, and the record's own columns: _timestamp (when it was produced), _processing_time.
-- Output: the typed event, and reject_reason: NULL means clean, else the code of the first rule that it breaks.
-- One row per raw event.
--
-- Codes are <column>_<what>. Time is judged against the record's own _timestamp, not against the clock,
-- so that a replay gives the same verdict. A blank string is a value like any other.
SELECT
    event_id,
    customer_id,
    event_type,
    TRY_CAST(amount AS DECIMAL(18, 2)) AS amount,
    currency,
    event_timestamp,
    _processing_time AS processing_timestamp,
    CASE
        WHEN event_id IS NULL THEN 'event_id_missing'
        WHEN customer_id IS NULL THEN 'customer_id_missing'
        WHEN event_type IS NULL THEN 'event_type_missing'
        WHEN event_type NOT IN ('PAGE_VIEW', 'ADD_TO_CART', 'PURCHASE') THEN 'event_type_unknown'
        WHEN amount IS NULL THEN 'amount_missing'
        WHEN amount <= 0 THEN 'amount_not_positive'
        WHEN TRY_CAST(amount AS DECIMAL(18, 2)) IS NULL THEN 'amount_too_large'
        WHEN TRY_CAST(amount AS DECIMAL(18, 2)) <> amount THEN 'amount_not_in_cents'
        WHEN currency IS NULL THEN 'currency_missing'
        WHEN event_timestamp IS NULL THEN 'event_timestamp_missing'
        WHEN event_timestamp > _timestamp + INTERVAL '5 minutes' THEN 'event_timestamp_in_future'
        WHEN event_timestamp < _timestamp - INTERVAL '35 days' THEN 'too_late'
    END AS reject_reason
FROM raw_events
