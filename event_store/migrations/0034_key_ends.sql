-- A key may end at an instant; a rotated one has several writings, of which the older end first.
-- depends: 0033_house_loss_of_day

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE api_key DROP CONSTRAINT api_key_key_id_key,
  ADD COLUMN expires_at timestamptz,
  ADD COLUMN replaced boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX api_key_current_idx ON api_key (key_id) WHERE NOT replaced;
CREATE INDEX api_key_key_id_idx ON api_key (key_id);
