-- Grants: the loader's role, and no more than it needs.
--   load    reads the stage, upserts gold, appends clean events, moves the control table
--   look    `sluicebox query` and `sluicebox verify` read the tables and the five views
-- Nothing is granted on ALL or FUTURE objects: a new table or view gets its own line here.
CREATE ROLE IF NOT EXISTS ${role};
GRANT ROLE ${role} TO USER ${user};

GRANT USAGE ON DATABASE ${database} TO ROLE ${role};
GRANT USAGE ON SCHEMA ${database}.${schema} TO ROLE ${role};
GRANT USAGE ON WAREHOUSE ${warehouse} TO ROLE ${role};
GRANT USAGE ON FILE FORMAT ${database}.${schema}.SLUICEBOX_PARQUET TO ROLE ${role};
GRANT ${stage_privileges} ON STAGE ${database}.${schema}.${stage} TO ROLE ${role};

GRANT SELECT, INSERT, UPDATE ON TABLE ${database}.${schema}.SLUICEBOX_CONTROL TO ROLE ${role};
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ${database}.${schema}.CUSTOMER_DAILY_METRICS TO ROLE ${role};
GRANT SELECT, INSERT ON TABLE ${database}.${schema}.KAFKA_EVENTS_SILVER TO ROLE ${role};

GRANT SELECT ON VIEW ${database}.${schema}.EVENT_FUNNEL TO ROLE ${role};
GRANT SELECT ON VIEW ${database}.${schema}.DAILY_CUSTOMER_REVENUE TO ROLE ${role};
GRANT SELECT ON VIEW ${database}.${schema}.REAL_TIME_CUSTOMER_METRICS TO ROLE ${role};
GRANT SELECT ON VIEW ${database}.${schema}.TOP_CUSTOMERS TO ROLE ${role};
GRANT SELECT ON VIEW ${database}.${schema}.HOURLY_TRENDS TO ROLE ${role};
