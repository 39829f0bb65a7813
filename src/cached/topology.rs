//! Where the servers are: one, the primary that Sentinels know, or those of a cluster.

use std::sync::Arc;

use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value,
};

use super::link::Link;
use super::repository;
use super::servers::Unusable;
use super::store::{Database, Store};
use crate::Result;
use crate::cache::name::Names;
use crate::cache::{Servers, script};

impl Store {
    /// Another server of those that the settings name, at this address.
    pub(super) fn at(&self, host: String, port: u16) -> ConnectionInfo {
        let like = match &self.settings.servers {
            Servers::One(server) => server,
            Servers::Sentinels { primary, .. } => primary,
            Servers::Cluster(seeds) => &seeds[0],
        };
        at(like, host, port)
    }

    fn client(&self, server: ConnectionInfo) -> RedisResult<Client> {
        #[cfg(feature = "tls")]
        if matches!(server.addr(), ConnectionAddr::TcpTls { .. }) {
            // Without a provider of cryptography rustls panics. One that the application has chosen stays.
            let _ = rustls::crypto::ring::default_provider().install_default();
            if let Some(certificates) = &self.settings.root_certificates {
                let certificates = redis::TlsCertificates {
                    client_tls: None,
                    root_cert: Some(certificates.clone()),
                };
                return Client::build_with_tls(server, certificates);
            }
        }
        Client::open(server)
    }
}

/// The connection to the server that has the shard.
#[repository]
pub(super) async fn link_to(
    store: &Store,
    shard: u16,
    database: &Database,
) -> Result<Arc<Link>, Unusable> {
    let server = match &store.settings.servers {
        Servers::One(server) => server.clone(),
        Servers::Sentinels {
            sentinels,
            name,
            primary,
        } => {
            let mut command = redis::cmd("SENTINEL");
            command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
            let answer = ask_first(store, sentinels, &command).await?;
            let address: Option<(String, u16)> =
                redis::from_redis_value(answer).map_err(RedisError::from)?;
            let (host, port) = address.ok_or(RedisError::from((
                ErrorKind::MasterNameNotFoundBySentinel,
                "the Sentinels know no primary of this name",
            )))?;
            at(primary, host, port)
        }
        Servers::Cluster(seeds) => {
            let (key, _) = Names::of_shard(&store.settings.prefix, shard, &database.name);
            let mut command = redis::cmd("CLUSTER");
            let slot = ask_first(store, seeds, command.arg("KEYSLOT").arg(key)).await?;
            let slot: i64 = redis::from_redis_value(slot).map_err(RedisError::from)?;
            let mut command = redis::cmd("CLUSTER");
            let slots = ask_first(store, seeds, command.arg("SLOTS")).await?;
            let (host, port) = script::server_of(slots, slot).ok_or(RedisError::from((
                ErrorKind::ClusterConnectionNotFound,
                "no server of the cluster has the slot",
            )))?;
            store.at(host, port)
        }
    };
    link(store, server).await
}

/// The answer of the first of these servers that gives one.
#[repository]
async fn ask_first(
    store: &Store,
    servers: &[ConnectionInfo],
    command: &Cmd,
) -> Result<Value, Unusable> {
    let mut last = Unusable::Resting;
    for server in servers {
        let answer = match Link::open(store.client(server.clone())?, &store.settings).await {
            Ok(link) => link.send(command, &store.counters).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// One connection for each server: several shards may lie on it.
#[repository]
pub(super) async fn link(store: &Store, server: ConnectionInfo) -> Result<Arc<Link>, Unusable> {
    let address = server.addr().to_string();
    let known = store.links().get(&address).cloned();
    if let Some(link) = known {
        return Ok(link);
    }
    let link = Arc::new(Link::open(store.client(server)?, &store.settings).await?);
    store.links().insert(address, Arc::clone(&link));
    Ok(link)
}

fn at(like: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match like.addr() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    like.clone().set_addr(address)
}
