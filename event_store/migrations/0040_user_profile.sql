-- What a user says of themselves, sealed with the user's data key.
-- depends: 0039_attempt

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE user_secret ADD COLUMN sealed_profile bytea;
