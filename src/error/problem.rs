//! What an error means to a client of a web service.

use std::borrow::Cow;

use serde::Serialize;

use super::{Constraint, Error, constraints};

/// A problem document (RFC 9457) about an error. Its media type is
/// `application/problem+json`.
///
/// It has nothing of the database: neither messages of the server nor values of rows, and names of
/// columns only where the client may have sent them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Problem {
    /// The identifier of the kind of problem: `urn:wundr-db:error:` and the code for an [`Error`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words, the same for every error of a code.
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The [code](Error::code).
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub code: &'static str,
    /// What is wrong with the value, where the client can correct it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The field with the value, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub field: Option<Cow<'static, str>>,
    /// The index of the row among several, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// True if the same request may succeed when it is sent again.
    pub retryable: bool,
}

impl Problem {
    /// Creates the problem document about an error of the application, of type `about:blank`:
    /// clients distinguish it by its code. With the feature `axum` it is a response, as [`Error`]
    /// is.
    ///
    /// # Examples
    /// ```
    /// use wundr_db::Problem;
    ///
    /// let problem = Problem::new(401, "unauthenticated", "Sign in first");
    /// let problem = serde_json::to_value(&problem).unwrap();
    /// assert_eq!(problem["code"], "unauthenticated");
    /// assert_eq!(problem["type"], "about:blank");
    /// ```
    #[must_use]
    pub fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title,
            status,
            code,
            detail: None,
            field: None,
            index: None,
            retryable: false,
        }
    }

    /// Sets what is wrong with this request.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// What is the same for every error of a variant.
struct Meaning {
    code: &'static str,
    title: &'static str,
    status: u16,
}

const fn meaning(code: &'static str, title: &'static str, status: u16) -> Meaning {
    Meaning {
        code,
        title,
        status,
    }
}

impl Error {
    fn meaning(&self) -> Meaning {
        match self {
            Self::NotFound { .. } => meaning("not_found", "The row does not exist", 404),
            Self::Unique(_) => meaning("unique", "The value already exists", 409),
            Self::MissingReference(_) => {
                meaning("missing_reference", "A referenced row does not exist", 422)
            }
            Self::StillReferenced(_) => {
                meaning("still_referenced", "The row is still referenced", 409)
            }
            Self::Check(_) => meaning("check", "A value is not allowed", 422),
            Self::NotNull { .. } => meaning("not_null", "A value is missing", 422),
            Self::InvalidInput { .. } => meaning("invalid_input", "A value is invalid", 422),
            Self::Row { source, .. } => source.meaning(),
            Self::StaleWrite { .. } => meaning("stale_write", "The row has changed", 409),
            Self::Suppressed { .. } => meaning("suppressed", "The change was not made", 409),
            Self::IllegalTransition { .. } => {
                meaning("illegal_transition", "The state does not allow this", 409)
            }
            Self::LeaseLost { .. } => meaning("lease_lost", "The lease is lost", 409),
            Self::Serialization => {
                meaning("serialization", "The request met a concurrent one", 503)
            }
            Self::Deadlock => meaning("deadlock", "The request met a concurrent one", 503),
            Self::Timeout(_) => meaning("timeout", "The database took too long", 503),
            Self::Pool(_) => meaning("pool", "The service is busy", 503),
            Self::Connection { .. } => meaning("connection", "The database cannot be reached", 503),
            Self::ReadOnly => meaning("read_only", "The database accepts no writes", 503),
            Self::Cache(_) => meaning("cache", "The cache cannot be reached", 503),
            Self::Unsupported { .. } => meaning("unsupported", "Not implemented", 501),
            Self::InUse { .. } => meaning("in_use", "Internal error", 500),
            Self::Decode { .. } => meaning("decode", "Internal error", 500),
            Self::Sealed { .. } => meaning("sealed", "Internal error", 500),
            Self::Migration { .. } => meaning("migration", "Internal error", 500),
            Self::Other { sqlstate, .. } => match sqlstate.as_ref().map(|state| state.as_str()) {
                Some("42501") => meaning("forbidden", "The database does not allow this", 403),
                _ => meaning("other", "Internal error", 500),
            },
        }
    }

    /// Returns the code of the error: a word that stays the same when messages change, for example
    /// `unique`. For an error of one of several rows it is the code of the row's error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.meaning().code
    }

    /// Returns the HTTP status that the error means in a response.
    ///
    /// | status | errors |
    /// |---|---|
    /// | 403 | the database does not allow it (SQLSTATE 42501) |
    /// | 404 | [`NotFound`](Self::NotFound) |
    /// | 409 | a value that exists, a row that is referenced or has changed, a state that does not allow it |
    /// | 422 | a value that cannot be stored, a reference to a row that does not exist |
    /// | 500 | errors of the service itself |
    /// | 501 | [`Unsupported`](Self::Unsupported) |
    /// | 503 | the server, the pool or the cache cannot serve the request now |
    ///
    /// # Examples
    /// ```
    /// use wundr_db::Error;
    ///
    /// let error = Error::invalid("email", "is empty");
    /// assert_eq!(error.http_status(), 422);
    /// let problem = serde_json::to_value(error.problem()).unwrap();
    /// assert_eq!(problem["code"], "invalid_input");
    /// assert_eq!(problem["field"], "email");
    /// ```
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.meaning().status
    }

    /// Returns the problem document about the error.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let Meaning {
            code,
            title,
            status,
        } = self.meaning();
        let (index, error) = match self {
            Self::Row { index, source, .. } => (Some(*index), &**source),
            error => (None, error),
        };
        Problem {
            kind: format!("urn:wundr-db:error:{code}"),
            title,
            status,
            code,
            detail: match error {
                Self::InvalidInput { reason, .. } if !reason.is_of_server() => {
                    Some(reason.as_str().to_owned())
                }
                _ => None,
            },
            field: error.field(),
            index,
            // Nothing was done without a connection, and the next request may get one.
            retryable: self.is_retryable() || matches!(self, Self::Pool(_)),
        }
    }

    /// Returns the field with the value that was refused.
    fn field(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unique(constraint)
            | Self::MissingReference(constraint)
            | Self::Check(constraint) => constraint.field(),
            Self::NotNull { column, .. } => Some(column.clone().into()),
            // The server names an index or a table, if anything.
            Self::InvalidInput { reason, .. } if reason.is_of_server() => None,
            Self::InvalidInput { field, .. } => Some(field.clone()),
            Self::Row { source, .. } => source.field(),
            _ => None,
        }
    }
}

impl Constraint {
    /// Returns the column that a constraint of this crate's tables is about. `None` if it is about
    /// several, or of another table.
    fn field(&self) -> Option<Cow<'static, str>> {
        let known = match self.name.as_str() {
            constraints::USERS_EMAIL_KEY => "email",
            constraints::ORGANIZATIONS_SLUG_KEY => "slug",
            constraints::ORGANIZATION_MEMBERS_ORGANIZATION_ID_USER_ID_KEY
            | constraints::PROJECT_MEMBERS_PROJECT_ID_USER_ID_KEY => "user_id",
            constraints::UNIQUE_CONFIG_SCOPE => "name",
            constraints::VALID_REPO_URL => "repository_url",
            _ => {
                // PostgreSQL names a foreign key after its table and its column.
                let column = self.name.strip_prefix(self.table.as_str())?;
                let column = column.strip_prefix('_')?.strip_suffix("_fkey")?;
                return Some(column.to_owned().into());
            }
        };
        Some(known.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constraint(table: &str, name: &str) -> Constraint {
        Constraint {
            table: table.to_owned(),
            name: name.to_owned(),
            detail: Some("Key (email)=(ada@example.org) already exists.".to_owned()),
        }
    }

    #[test]
    fn a_problem_names_the_field_and_no_value() {
        let taken = Error::Unique(constraint("users", constraints::USERS_EMAIL_KEY));
        let text = serde_json::to_string(&taken.problem()).unwrap();
        assert_eq!(
            text,
            r#"{"type":"urn:wundr-db:error:unique","title":"The value already exists","status":409,"code":"unique","field":"email","retryable":false}"#
        );
        let absent = constraint("projects", "projects_organization_id_fkey");
        let problem = Error::MissingReference(absent)
            .in_row("projects", 3)
            .problem();
        assert_eq!(problem.field.as_deref(), Some("organization_id"));
        assert_eq!((problem.status, problem.index), (422, Some(3)));
    }

    #[test]
    fn a_problem_has_nothing_of_the_server() {
        let secret = "password authentication failed for user \"app\"";
        for error in [
            Error::broken_connection(secret),
            Error::Pool(secret.to_owned()),
            Error::Timeout(secret.to_owned()),
            Error::refused_by_server("idx_password", secret),
            Error::refused_by_server("value", secret).in_row("users", 3),
            Error::Other {
                sqlstate: None,
                message: secret.to_owned(),
            },
        ] {
            let text = serde_json::to_string(&error.problem()).unwrap();
            assert!(!text.contains("password"), "{text}");
        }
    }

    #[test]
    fn what_the_database_does_not_allow_is_forbidden() {
        let of_state = |code: &str| {
            let error = Error::Other {
                sqlstate: crate::SqlState::new(code),
                message: "permission denied for table users".to_owned(),
            };
            serde_json::to_string(&error.problem()).unwrap()
        };
        assert_eq!(
            of_state("42501"),
            r#"{"type":"urn:wundr-db:error:forbidden","title":"The database does not allow this","status":403,"code":"forbidden","retryable":false}"#
        );
        assert!(of_state("42P01").contains(r#""status":500,"code":"other""#));
    }

    #[test]
    fn what_may_succeed_again_is_marked_so() {
        let deadlock = Error::Deadlock.problem();
        assert_eq!((deadlock.status, deadlock.retryable), (503, true));
        let missing = Error::NotFound { what: "user" }.problem();
        assert_eq!((missing.status, missing.retryable), (404, false));
    }
}
