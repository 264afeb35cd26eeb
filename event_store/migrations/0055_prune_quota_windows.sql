-- How far the windows of quotas are pruned: one of a day or a month that began before may be gone.
-- depends: 0054_linked_identity

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE quota_pruned (
  before timestamptz NOT NULL,
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
) WITH (fillfactor = 50);
INSERT INTO quota_pruned (before) VALUES ('epoch');
GRANT SELECT, UPDATE ON quota_pruned TO gatewayz_app;
GRANT DELETE ON quota_window TO gatewayz_app;
-- The only window of `total` begins at the epoch, and is never pruned.
CREATE INDEX quota_window_begins_idx ON quota_window (begins) WHERE begins > 'epoch';
