-- What apps call themselves, by the keyed hash that stands for the name in events: here it can be deleted.
-- Not derived from the log: a replay leaves it.
-- depends: 0030_reader_role

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE app_name (
  app_id text PRIMARY KEY CHECK (app_id ~ '^app-[0-9a-f]{32}$'),
  name text NOT NULL CHECK (length(name) <= 100),
  first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, DELETE ON app_name TO gatewayz_app;
