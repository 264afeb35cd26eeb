-- Inline state: until when nothing is sent to a provider's model, or (model '') to the provider as a whole.
-- depends: 0100_background_response

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE maintenance_window (
  provider text NOT NULL,
  model text NOT NULL,
  version bigint NOT NULL,
  until timestamptz,
  PRIMARY KEY (provider, model)
);
CREATE INDEX maintenance_window_until_idx ON maintenance_window (until);
GRANT SELECT, INSERT, UPDATE ON maintenance_window TO gatewayz_app;
