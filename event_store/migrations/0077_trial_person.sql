-- Whose trial it was, by a keyed hash of the mailbox: who leaves and comes back has had theirs. Derived from no event.
-- depends: 0076_plan

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE trial_person (
  person text PRIMARY KEY,
  account_id uuid NOT NULL,
  first_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, UPDATE ON trial_person TO gatewayz_app;
