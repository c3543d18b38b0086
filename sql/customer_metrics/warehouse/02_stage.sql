-- Creates: the format of the staged files (NULL_IF: a text `\N` is a text), and the external stage that they are written to.
-- The storage integration (${storage_integration}) ties the stage to your bucket and is made once by an
-- account administrator: https://docs.snowflake.com/en/sql-reference/sql/create-storage-integration
CREATE FILE FORMAT IF NOT EXISTS ${database}.${schema}.SLUICEBOX_PARQUET
    TYPE = PARQUET
    USE_LOGICAL_TYPE = TRUE
    BINARY_AS_TEXT = FALSE
    NULL_IF = ();

CREATE STAGE IF NOT EXISTS ${database}.${schema}.${stage}
    URL = '${stage_url}'
    STORAGE_INTEGRATION = ${storage_integration}
    FILE_FORMAT = (FORMAT_NAME = '${database}.${schema}.SLUICEBOX_PARQUET');
