-- Creates: the database, the schema, and the virtual warehouse that the loads and the queries run on.
-- XSMALL and suspended after 60 s without work: Snowflake bills 60 s at least for each time it wakes.
CREATE DATABASE IF NOT EXISTS ${database};

CREATE SCHEMA IF NOT EXISTS ${database}.${schema};

CREATE WAREHOUSE IF NOT EXISTS ${warehouse}
    WAREHOUSE_SIZE = XSMALL
    AUTO_SUSPEND = 60
    AUTO_RESUME = TRUE
    INITIALLY_SUSPENDED = TRUE;
