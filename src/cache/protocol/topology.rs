//! The addresses of the servers: one server, the primary that Sentinel names, or the nodes of a
//! cluster.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value,
};

use super::cache_io::RedisConnection;
use super::client::{CacheClient, Database};
use super::repository;
use super::unavailable::Unavailable;
use crate::Result;
use crate::cache::Servers;
use crate::cache::keys::KeySpace;
use crate::cache::slots::{self, Located};

/// The limit for locating a slot, in multiples of the connect timeout.
const TRIES: u32 = 8;

impl CacheClient {
    /// Returns the nodes of a cluster to query for the topology: the last one that responded, those
    /// of the settings, and those that another node has named.
    fn candidates(&self, seeds: &[ConnectionInfo]) -> Vec<ConnectionInfo> {
        let known = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, others) = known.split_at(usize::from(!known.is_empty()));
        let mut candidates: Vec<ConnectionInfo> = Vec::new();
        for server in last.iter().chain(seeds).chain(others) {
            let is_new = |other: &ConnectionInfo| other.addr() != server.addr();
            if candidates.iter().all(is_new) {
                candidates.push(server.clone());
            }
        }
        candidates
    }

    /// Records that this node has responded, and has named the others.
    fn learn(&self, answered: ConnectionInfo, others: Vec<ConnectionInfo>) {
        let mut known = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        *known = others;
        known.insert(0, answered);
    }

    /// Returns the settings of a server at another address.
    pub(crate) fn at(&self, host: String, port: u16) -> ConnectionInfo {
        let like = match &self.settings.servers {
            Servers::One(server) => server,
            Servers::Sentinels { primary, .. } => primary,
            Servers::Cluster(seeds) => &seeds[0],
        };
        at(like, host, port)
    }

    fn redis_client(&self, server: ConnectionInfo) -> RedisResult<Client> {
        #[cfg(feature = "tls")]
        if matches!(server.addr(), ConnectionAddr::TcpTls { .. }) {
            // Without a provider of cryptography rustls panics. One that the application has chosen
            // stays.
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

/// Returns the connection to the server that has the shard.
#[repository]
pub(crate) async fn connection_to_shard(
    client: &CacheClient,
    shard: u16,
    database: &Database,
) -> Result<Arc<RedisConnection>, Unavailable> {
    let server = match &client.settings.servers {
        Servers::One(server) => server.clone(),
        Servers::Sentinels {
            sentinels,
            name,
            primary,
        } => {
            let mut command = redis::cmd("SENTINEL");
            command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
            let reply = first_reply(client, sentinels, &command).await?;
            let address: Option<(String, u16)> =
                redis::from_redis_value(reply).map_err(RedisError::from)?;
            let (host, port) = address.ok_or(RedisError::from((
                ErrorKind::MasterNameNotFoundBySentinel,
                "the Sentinels know no primary of this name",
            )))?;
            at(primary, host, port)
        }
        Servers::Cluster(seeds) => {
            let (key, _) = KeySpace::of_shard(&client.settings.prefix, shard, &database.name);
            locate(client, seeds, &key).await?
        }
    };
    connection_to(client, server).await
}

/// Returns the node of a cluster that holds the slot of the key, as the first node with an entry
/// reports it.
#[repository]
async fn locate(
    client: &CacheClient,
    seeds: &[ConnectionInfo],
    key: &str,
) -> Result<ConnectionInfo, Unavailable> {
    let began = Instant::now();
    let patience = client.settings.connect_timeout.saturating_mul(TRIES);
    let mut last = Unavailable::NotResponding;
    for server in client.candidates(seeds) {
        match locate_by(client, &server, key).await {
            Ok(Located { server: at, others }) => {
                let at = client.at(at.0, at.1);
                let others = others.into_iter().map(|(host, port)| client.at(host, port));
                client.learn(server, others.collect());
                return Ok(at);
            }
            Err(error) => last = error,
        }
        if began.elapsed() > patience {
            break;
        }
    }
    Err(last)
}

#[repository]
async fn locate_by(
    client: &CacheClient,
    server: &ConnectionInfo,
    key: &str,
) -> Result<Located, Unavailable> {
    let connection =
        RedisConnection::open(client.redis_client(server.clone())?, &client.settings).await?;
    let mut command = redis::cmd("CLUSTER");
    let command = command.arg("KEYSLOT").arg(key);
    let slot = connection.send(command, &client.counters).await?;
    let slot: i64 = redis::from_redis_value(slot).map_err(RedisError::from)?;
    let mut command = redis::cmd("CLUSTER");
    let slots = connection
        .send(command.arg("SLOTS"), &client.counters)
        .await?;
    let located = slots::located(slots, slot, &host_of(server));
    let no_owner = (
        ErrorKind::ClusterConnectionNotFound,
        "no server of the cluster has the slot",
    );
    Ok(located.ok_or(RedisError::from(no_owner))?)
}

/// Returns the host of a server.
fn host_of(server: &ConnectionInfo) -> String {
    match server.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        // The path of a socket does not contain the host.
        _ => "localhost".to_owned(),
    }
}

/// Returns a node that another node has named. Without a host, it has the host of that other node.
pub(crate) fn named(
    client: &CacheClient,
    asked: &RedisConnection,
    host: String,
    port: u16,
) -> ConnectionInfo {
    if slots::is_host(&host) {
        client.at(host, port)
    } else {
        client.at(host_of(asked.server()), port)
    }
}

/// Returns the response of the first node that responds.
#[repository]
async fn first_reply(
    client: &CacheClient,
    servers: &[ConnectionInfo],
    command: &Cmd,
) -> Result<Value, Unavailable> {
    let mut last = Unavailable::NotResponding;
    for server in servers {
        let reply =
            match RedisConnection::open(client.redis_client(server.clone())?, &client.settings)
                .await
            {
                Ok(connection) => connection.send(command, &client.counters).await,
                Err(error) => Err(error),
            };
        match reply {
            Ok(reply) => return Ok(reply),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// Returns the connection to a server. Several shards may share it.
#[repository]
pub(crate) async fn connection_to(
    client: &CacheClient,
    server: ConnectionInfo,
) -> Result<Arc<RedisConnection>, Unavailable> {
    let address = server.addr().to_string();
    let known = client.connections().get(&address).cloned();
    if let Some(connection) = known {
        return Ok(connection);
    }
    let connection =
        Arc::new(RedisConnection::open(client.redis_client(server)?, &client.settings).await?);
    client
        .connections()
        .insert(address, Arc::clone(&connection));
    Ok(connection)
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
