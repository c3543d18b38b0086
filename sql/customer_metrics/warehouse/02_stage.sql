-- Creates: the format of the staged files (NULL_IF: a text `\N` is a text), and the stage that they are written to.
-- Without warehouse.stage_url the stage is the warehouse's own, encrypted at the server. With it, the stage is a bucket of
-- yours; the storage integration (${storage_integration}) ties the two and is made once by an account administrator:
-- https://docs.snowflake.com/en/sql-reference/sql/create-storage-integration
CREATE FILE FORMAT IF NOT EXISTS ${database}.${schema}.SLUICEBOX_PARQUET
    TYPE = PARQUET
    USE_LOGICAL_TYPE = TRUE
    BINARY_AS_TEXT = FALSE
    NULL_IF = ();

CREATE STAGE IF NOT EXISTS ${database}.${schema}.${stage}
    ${stage_location}
    FILE_FORMAT = (FORMAT_NAME = '${database}.${schema}.SLUICEBOX_PARQUET');
