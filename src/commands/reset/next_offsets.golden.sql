BEGIN;
MERGE INTO SLUICEBOX_CONTROL c USING (SELECT column1 AS topic, column2 AS partition_id, column3 AS next_offset FROM VALUES ('clean_events', 0, 12), ('clean_events', 1, 40)) s ON c.topic = s.topic AND c.partition_id = s.partition_id WHEN MATCHED THEN UPDATE SET next_offset = s.next_offset, fence = c.fence + 1, source = NULL, target = NULL WHEN NOT MATCHED THEN INSERT (topic, partition_id, next_offset, fence, loads) VALUES (s.topic, s.partition_id, s.next_offset, 1, 0);
UPDATE CUSTOMER_DAILY_METRICS SET SLUICEBOX_VERSION = -1;
COMMIT;
