-- What a key is limited to, whether it is switched on or deleted, and where in the log it last changed: that is
-- what gateways ask for, who may have missed a notice.
-- depends: 0040_user_profile

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE api_key
  ADD COLUMN environment text NOT NULL DEFAULT 'live',
  ADD COLUMN active boolean NOT NULL DEFAULT true,
  ADD COLUMN deleted boolean NOT NULL DEFAULT false,
  ADD COLUMN limits jsonb,
  ADD COLUMN position bigint NOT NULL DEFAULT 0;
UPDATE api_key SET
  position = coalesce((SELECT max(e.notification_id) FROM events e
    WHERE e.originator_id = api_key.key_id), 0),
  environment = coalesce((SELECT convert_from(e.state, 'UTF8')::jsonb ->> 'environment' FROM events e
    WHERE e.originator_id = api_key.key_id AND e.originator_version = 1), 'live');
CREATE INDEX api_key_position_idx ON api_key (position);
CREATE INDEX api_key_user_idx ON api_key (user_id);
