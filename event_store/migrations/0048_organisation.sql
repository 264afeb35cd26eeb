-- Inline state: organisations, their members and projects, and what a project's key asks of them. Where in the log
-- each last changed is what gateways ask for, who may have missed a notice. Invitations are not derived from the
-- log: whose address it is stands here alone.
-- depends: 0047_quota_set_based

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE organisation (
  organisation_id uuid PRIMARY KEY,
  account_id uuid NOT NULL UNIQUE,
  name_ciphertext text NOT NULL,
  wrapped_key bytea,
  closed boolean NOT NULL DEFAULT false,
  position bigint NOT NULL
);
CREATE INDEX organisation_position_idx ON organisation (position);

-- A row without a role is of somebody who was a member.
CREATE TABLE organisation_member (
  organisation_id uuid NOT NULL,
  user_id uuid NOT NULL,
  role text,
  joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  position bigint NOT NULL,
  PRIMARY KEY (organisation_id, user_id)
);
CREATE INDEX organisation_member_user_idx ON organisation_member (user_id) WHERE role IS NOT NULL;
CREATE INDEX organisation_member_position_idx ON organisation_member (position);

CREATE TABLE project (
  project_id uuid PRIMARY KEY,
  organisation_id uuid NOT NULL,
  account_id uuid NOT NULL,
  name text NOT NULL,
  archived boolean NOT NULL DEFAULT false,
  position bigint NOT NULL
);
CREATE UNIQUE INDEX project_name_idx ON project (organisation_id, lower(name)) WHERE NOT archived;
CREATE INDEX project_position_idx ON project (position);

CREATE TABLE invitation (
  invitation_id uuid PRIMARY KEY,
  organisation_id uuid NOT NULL,
  role text NOT NULL,
  email_hash bytea NOT NULL,
  sealed_email bytea NOT NULL,
  invited_by uuid,
  expires_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX invitation_address_idx ON invitation (organisation_id, email_hash);
CREATE INDEX invitation_email_idx ON invitation (email_hash);

GRANT SELECT, INSERT, UPDATE ON organisation, organisation_member, project TO gatewayz_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON invitation TO gatewayz_app;

ALTER TABLE api_key ADD COLUMN project_id uuid, ADD COLUMN organisation_id uuid;
CREATE INDEX api_key_organisation_idx ON api_key (organisation_id) WHERE organisation_id IS NOT NULL;
