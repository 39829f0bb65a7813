DROP TABLE app.issue_notes;
DROP SCHEMA app;
