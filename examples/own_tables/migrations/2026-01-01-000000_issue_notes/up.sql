SET LOCAL lock_timeout = '5s';

CREATE SCHEMA app;

CREATE TABLE app.issue_notes (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  issue_id UUID NOT NULL REFERENCES analysis.analysis_issues (id) ON DELETE CASCADE,
  author_id UUID NOT NULL REFERENCES public.users (id),
  body VARCHAR(2000) NOT NULL,
  votes INT NOT NULL DEFAULT 0,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX idx_issue_notes_issue_created_id ON app.issue_notes (issue_id, created_at, id);
CREATE INDEX idx_issue_notes_author_id ON app.issue_notes (author_id);

CREATE TRIGGER updated_at BEFORE UPDATE ON app.issue_notes
  FOR EACH ROW EXECUTE FUNCTION public.set_updated_at();
