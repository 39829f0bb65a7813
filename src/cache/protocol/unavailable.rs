//! The reasons why the cache cannot be used at the moment.

use std::sync::Arc;

use redis::RedisError;

/// The reason why the cache cannot be used at the moment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("the database: {0}")]
    Database(#[from] crate::Error),
    #[error("it did not answer recently")]
    NotResponding,
    #[error("its reply does not belong to this version of the protocol")]
    UnexpectedReply,
    #[error("its generation changes faster than it can be used")]
    UnstableGeneration,
    #[error(
        "the database is on timeline {own}, but the cache has seen the later timeline {known} of it: either the URL leads \
         to a server that another has taken over from, or the database was restored to an earlier state. In the latter \
         case the cache starts over after 10 s, immediately by Cached::forget_everything(), or when \
         the keys that begin with \"{keys}\" are deleted"
    )]
    EarlierTimeline {
        own: Arc<str>,
        known: String,
        keys: String,
    },
}

impl Unavailable {
    /// Checks whether the shard's slot has moved to another server, or is being moved.
    pub(crate) fn is_redirection(&self) -> bool {
        matches!(self, Self::Redis(error) if matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN")))
    }

    /// Returns the server to which the slot has moved. An empty host stands for the host of the
    /// responding server.
    pub(crate) fn moved_to(&self) -> Option<(String, u16)> {
        let Self::Redis(error) = self else {
            return None;
        };
        if error.code() != Some("MOVED") {
            return None;
        }
        let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
        Some((host.to_owned(), port.parse().ok()?))
    }

    /// Checks whether the server does not have the script.
    pub(crate) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Redis(error) if error.code() == Some("NOSCRIPT"))
    }

    /// Checks whether an established connection was lost. The server may be reachable by a new one.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_connection_dropped())
    }

    /// Checks whether the connection must not be used again. `false` if only this call was
    /// rejected.
    pub(crate) fn ends_connection(&self) -> bool {
        match self {
            Self::Redis(error) => {
                error.is_io_error()
                    || error.is_unrecoverable_error()
                    || matches!(
                        error.code(),
                        Some(
                            "MOVED"
                                | "ASK"
                                | "TRYAGAIN"
                                | "CLUSTERDOWN"
                                | "MASTERDOWN"
                                | "READONLY"
                                | "LOADING"
                                | "NOAUTH"
                                | "WRONGPASS"
                        )
                    )
            }
            Self::UnexpectedReply => true,
            Self::Database(_)
            | Self::NotResponding
            | Self::UnstableGeneration
            | Self::EarlierTimeline { .. } => false,
        }
    }
}
