-- Responses that run in the background: who runs one until when, whether it is to be ended, and its events.
-- depends: 0099_inbox_by_object

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE kept_response
  ADD COLUMN runner_id uuid,
  ADD COLUMN run_until timestamptz,
  ADD COLUMN cancel_asked_at timestamptz,
  ADD COLUMN events bytea,
  ADD CHECK (runner_id IS NULL OR run_until IS NOT NULL) NOT VALID;
CREATE INDEX kept_response_runner_id_idx ON kept_response (runner_id) WHERE runner_id IS NOT NULL;
CREATE INDEX kept_response_running_idx ON kept_response (account_id) WHERE runner_id IS NOT NULL;
