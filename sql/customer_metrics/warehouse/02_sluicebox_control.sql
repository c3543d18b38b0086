-- Creates: how far each topic partition has been loaded, and by whom.
-- One row per topic and partition. Written by the loads only; never edit it by hand.
--   next_offset  the first offset that is not in the warehouse yet
--   fence        rises when another process takes over; a load under an older fence does nothing
--   loads        number of load transactions
--   source       the cluster and the topic that the offsets belong to
--   target       when the table that is loaded was created: one that was replaced has other rows
CREATE TABLE IF NOT EXISTS ${database}.${schema}.SLUICEBOX_CONTROL (
    TOPIC        VARCHAR       NOT NULL,
    PARTITION_ID NUMBER(10, 0) NOT NULL,
    NEXT_OFFSET  NUMBER(19, 0) NOT NULL,
    FENCE        NUMBER(19, 0) NOT NULL,
    LOADS        NUMBER(19, 0) NOT NULL,
    SOURCE       VARCHAR,
    TARGET       VARCHAR,
    PRIMARY KEY (TOPIC, PARTITION_ID)
);
