//! SQL in Snowflake's dialect in, result grids out.
