-- Attempts at what can be guessed or flooded, counted by a keyed hash of who tries; and from where
-- each user has signed in before.
-- depends: 0038_mail_token

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE attempt (
  name text PRIMARY KEY,
  since timestamptz NOT NULL,
  count bigint NOT NULL
);
CREATE INDEX attempt_since_idx ON attempt (since);
CREATE TABLE known_origin (
  user_id uuid,
  origin text,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (user_id, origin)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON attempt, known_origin TO gatewayz_app;
