-- Each serving process holds a lease; holds of lapsed owners may be swept.
-- depends: 0005_events_immutable

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE process_lease (
  owner_id uuid PRIMARY KEY,
  home text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON process_lease TO gatewayz_app;
