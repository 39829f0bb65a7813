//! Statements without a time limit: the server is asked on another connection whether it responds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Connection;
use super::connect::Connector;
use crate::Config;
use crate::config::{Host, Session};
use crate::sql::session_identity::{SESSION, has_session};

/// The host, and its address if it is not a socket of this machine, that a connection leads to.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) host: Host,
    pub(super) address: Option<IpAddr>,
}

impl Connection {
    /// Has the server asked on another connection when it is silent, before this connection is
    /// closed: its next statements have no time limit.
    ///
    /// The other connection leads to the same address. The server that responds there must still
    /// have this session: a proxy may lead to another server by then.
    pub(crate) async fn be_patient(&self, connector: &Arc<Connector>, config: &Config) {
        let Some(origin) = self.origin.clone() else {
            return;
        };
        if let Some(patience) = config.patience {
            self.driver.set_response_timeout(patience);
        }
        // Behind PgBouncer, the session is that of a server connection that other clients use, too.
        let session = match config.behind_pgbouncer {
            true => None,
            false => self.text(SESSION).await,
        };
        let query = session.map_or("SELECT 1".to_owned(), |session| has_session(&session));
        let query: Arc<str> = query.into();
        let (connector, limit) = (Arc::clone(connector), config.health_timeout);
        self.driver.set_probe(Some(Arc::new(move || {
            let (connector, origin) = (Arc::clone(&connector), origin.clone());
            let query = Arc::clone(&query);
            Box::pin(async move { responds(&connector, &origin, &query, limit).await })
        })));
    }

    /// Ends the effect of [`be_patient`](Self::be_patient).
    pub(crate) fn be_impatient(&self) {
        self.driver.set_probe(None);
    }
}

/// Checks whether a server responds to a query on a new connection. A server that refuses the
/// connection responds, too.
async fn responds(connector: &Connector, origin: &Origin, query: &str, limit: Duration) -> bool {
    let asking = async {
        let opened = connector.address(&origin.host, origin.address, Session::Any, None);
        match opened.await {
            Ok(connection) => connection.text(query).await.is_some(),
            Err(error) => error.is_of_server(),
        }
    };
    tokio::time::timeout(limit, asking).await.unwrap_or(false)
}
