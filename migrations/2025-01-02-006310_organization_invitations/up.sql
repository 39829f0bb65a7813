-- The design has members of organizations and who invited them, and no state between the invitation
-- and the membership. An invitation is a row of this table until it is accepted, rejected, withdrawn
-- or expires. It grants nothing.
SET LOCAL lock_timeout = '5s';

CREATE TABLE public.organization_invitations (
  id UUID PRIMARY KEY,
  organization_id UUID NOT NULL REFERENCES public.organizations(id) ON DELETE CASCADE,
  user_id UUID NOT NULL REFERENCES public.users(id) ON DELETE CASCADE,
  role public.organization_role NOT NULL,
  invited_by UUID REFERENCES public.users(id) ON DELETE SET NULL,
  invited_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  expires_at TIMESTAMPTZ NOT NULL,
  CONSTRAINT one_invitation_of_a_user UNIQUE (organization_id, user_id)
);

CREATE INDEX idx_organization_invitations_user_id
  ON public.organization_invitations (user_id);
CREATE INDEX idx_organization_invitations_invited_by
  ON public.organization_invitations (invited_by);
CREATE INDEX idx_organization_invitations_expires_at
  ON public.organization_invitations (expires_at);
