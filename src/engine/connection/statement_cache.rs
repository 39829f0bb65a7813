//! The statements that a connection has prepared, and the statements to be sent with their binds.
//!
//! # Prepared statements
//! A statement is found by a [`CacheKey`]: by its type and a number if these determine its text,
//! otherwise by its text and the types of its binds. A hit needs neither the text nor a walk
//! through the query, only its binds. The statements used last are kept; the others are closed on
//! the server.
//!
//! # Type OIDs
//! diesel encodes binds synchronously, and their bytes may contain the OIDs of types that the
//! database has made (enums, arrays of them), which differ from database to database. For a type
//! that is yet unknown, [`TypeLookup`] returns a fake OID. Encoding the binds twice with different
//! fake OIDs shows where they are ([`fake_oid_locations`]). The real OIDs are then read from the
//! catalog and written there. diesel-async does the same.

use std::any::TypeId;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;

use bytes::{BufMut as _, BytesMut};
use diesel::QueryResult;
use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{QueryBuilder as _, QueryFragment, QueryId};
use diesel::result::Error::SerializationError;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Column, Statement};

use super::driver::Driver;
use super::error::before_sending;
use super::locked;
use super::result_stream::Types;
use crate::engine::lent_session::may_change_session;

/// The prepared statements of a connection, and the OIDs of types that the database has made.
#[derive(Default)]
pub(super) struct StatementCache {
    prepared: Mutex<PreparedStatements>,
    types: Mutex<Vec<TypeOids>>,
}

/// The prepared statements that were used last.
#[derive(Default)]
struct PreparedStatements {
    statements: HashMap<CacheKey, (Prepared, u64)>,
    /// The largest number of statements; `None` for any number.
    capacity: Option<usize>,
    /// The number of uses so far.
    uses: u64,
}

impl PreparedStatements {
    fn get(&mut self, shape: &CacheKey) -> Option<Prepared> {
        let (prepared, used) = self.statements.get_mut(shape)?;
        self.uses += 1;
        *used = self.uses;
        Some(prepared.clone())
    }

    /// Adds a statement. Returns those that it displaces; dropping them closes them on the server.
    #[must_use]
    fn put(&mut self, shape: CacheKey, prepared: Prepared) -> Vec<Prepared> {
        self.uses += 1;
        self.statements.insert(shape, (prepared, self.uses));
        let mut gone = Vec::new();
        while self
            .capacity
            .is_some_and(|capacity| self.statements.len() > capacity)
        {
            let oldest = self.statements.values().map(|(_, used)| *used).min();
            let is_oldest = |used: u64| Some(used) == oldest;
            let old = self.statements.extract_if(|_, (_, used)| is_oldest(*used));
            gone.extend(old.map(|(_, (prepared, _))| prepared));
        }
        gone
    }
}

/// A prepared statement.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) statement: Statement,
    pub(super) types: Types,
    /// Its effect may outlast it in the session.
    may_change_session: bool,
}

/// The identity of a prepared statement.
#[derive(PartialEq, Eq, Hash)]
enum CacheKey {
    /// The type and the number determine the text.
    Fixed(FixedKey),
    Text(String, Vec<u32>),
}

/// The type and the number, and the [kinds](crate::sql::settings::Settings::kinds) of the settings
/// that the statement makes, or zero.
pub(crate) type FixedKey = (TypeId, u64, u8);

/// Returns the key of a query, if its type determines its text.
pub(crate) fn key_of<Q: QueryId>() -> Option<FixedKey> {
    Q::query_id().map(|id| (id, 0, 0))
}

/// A statement with its binds.
pub(crate) struct BoundStatement {
    pub(super) binds: Vec<Option<Vec<u8>>>,
    statement: Lookup,
    /// The text, if the instrumentation has received it.
    pub(super) instrumented_sql: Option<String>,
}

impl BoundStatement {
    /// Checks whether the statement may have an effect that outlasts it in the session.
    pub(crate) fn may_change_session(&self) -> bool {
        match &self.statement {
            Lookup::Prepared(prepared) => prepared.may_change_session,
            Lookup::Unprepared(unprepared) => may_change_session(&unprepared.sql),
        }
    }
}

enum Lookup {
    Prepared(Prepared),
    // Boxed: bound statements are moved, and few are unprepared.
    Unprepared(Box<Unprepared>),
}

/// A statement to prepare.
struct Unprepared {
    kept: CacheSlot,
    sql: String,
    bind_types: Vec<u32>,
    unknown: Vec<TypeName>,
    patches: Vec<OidPatch>,
}

/// The way in which a statement is cached.
enum CacheSlot {
    Fixed(FixedKey),
    Text,
    Once,
}

/// The OIDs of a type that the database has made.
struct TypeOids {
    name: TypeName,
    oid: u32,
    array_oid: u32,
}

/// The schema, if any, and the name of a type.
#[derive(Clone, PartialEq)]
struct TypeName(Option<String>, String);

impl TypeName {
    fn is(&self, schema: Option<&str>, name: &str) -> bool {
        self.0.as_deref() == schema && self.1 == name
    }

    fn quoted(&self) -> String {
        let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let parts: Vec<String> = self.0.iter().chain([&self.1]).map(quoted).collect();
        parts.join(".")
    }
}

/// The place of an unknown OID: the type of a bind, or an offset in its bytes.
struct OidPatch {
    bind: usize,
    at: Option<usize>,
    fake_oid: u32,
}

impl StatementCache {
    /// Sets the number of statements that are kept prepared.
    pub(super) fn set_capacity(&self, number: usize) {
        locked(&self.prepared).capacity = Some(number);
    }

    /// Drops the prepared statements and the type OIDs.
    pub(super) fn forget(&self) {
        let prepared = std::mem::take(&mut locked(&self.prepared).statements);
        drop(prepared);
        locked(&self.types).clear();
    }

    /// Binds a query: encodes its binds, and builds its text unless it is prepared.
    // Takes a trait object, so that it is compiled once.
    pub(super) fn bind_with_key(
        &self,
        query: &dyn QueryFragment<Pg>,
        id: Option<FixedKey>,
    ) -> QueryResult<BoundStatement> {
        // A statement cached by its type was checked when it was prepared, and has the same text.
        let prepared = id.and_then(|id| locked(&self.prepared).get(&CacheKey::Fixed(id)));
        let count = prepared.as_ref();
        let count = count.map_or(0, |prepared| prepared.statement.params().len());
        let (values, unknown) = self.collect(query, count, 0)?;
        let statement = match prepared {
            Some(prepared) if unknown.is_empty() => Lookup::Prepared(prepared),
            _ => Lookup::Unprepared(Box::new(self.unprepared(query, id, &values, unknown)?)),
        };
        Ok(BoundStatement {
            binds: values.binds,
            statement,
            instrumented_sql: None,
        })
    }

    fn unprepared(
        &self,
        query: &dyn QueryFragment<Pg>,
        id: Option<FixedKey>,
        values: &RawBytesBindCollector<Pg>,
        unknown: Vec<TypeName>,
    ) -> QueryResult<Unprepared> {
        let bind_types = type_oids(values)?;
        let mut patches = Vec::new();
        if !unknown.is_empty() {
            // The bytes that differ between the two encodings are the fake OIDs.
            let (again, _) = self.collect(query, values.binds.len(), u32::MAX)?;
            patches = fake_oid_locations(values, &again, &bind_types, &type_oids(&again)?);
        }
        let mut sql = PgQueryBuilder::new();
        query.to_sql(&mut sql, &Pg)?;
        let kept = match id {
            _ if !query.is_safe_to_cache_prepared(&Pg)? => CacheSlot::Once,
            Some(id) => CacheSlot::Fixed(id),
            None => CacheSlot::Text,
        };
        Ok(Unprepared {
            kept,
            sql: sql.finish(),
            bind_types,
            unknown,
            patches,
        })
    }

    fn collect(
        &self,
        query: &dyn QueryFragment<Pg>,
        count: usize,
        mask: u32,
    ) -> QueryResult<(RawBytesBindCollector<Pg>, Vec<TypeName>)> {
        let mut known = locked(&self.types);
        let mut lookup = TypeLookup {
            known: std::mem::take(&mut *known),
            unknown: Vec::new(),
            mask,
        };
        let mut values = RawBytesBindCollector::new();
        values.binds.reserve_exact(count);
        values.metadata.reserve_exact(count);
        let outcome = query.collect_binds(&mut values, &mut lookup, &Pg);
        *known = lookup.known;
        outcome.map(|()| (values, lookup.unknown))
    }

    /// Returns the prepared statement, and prepares it if need be.
    pub(super) async fn of(
        &self,
        client: &Client,
        driver: &Driver,
        bound: &mut BoundStatement,
    ) -> QueryResult<Prepared> {
        match &mut bound.statement {
            Lookup::Prepared(prepared) => Ok(prepared.clone()),
            Lookup::Unprepared(unprepared) => {
                // Boxed: otherwise it would enlarge the future of every statement.
                Box::pin(self.prepare(client, driver, unprepared, &mut bound.binds)).await
            }
        }
    }

    async fn prepare(
        &self,
        client: &Client,
        driver: &Driver,
        unprepared: &mut Unprepared,
        binds: &mut [Option<Vec<u8>>],
    ) -> QueryResult<Prepared> {
        if !unprepared.unknown.is_empty() {
            self.resolve_types(client, driver, unprepared, binds)
                .await?;
        }
        let shape = match unprepared.kept {
            CacheSlot::Fixed(id) => Some(CacheKey::Fixed(id)),
            CacheSlot::Text => Some(CacheKey::Text(
                unprepared.sql.clone(),
                unprepared.bind_types.clone(),
            )),
            CacheSlot::Once => None,
        };
        if let Some(shape) = &shape
            && let Some(prepared) = locked(&self.prepared).get(shape)
        {
            return Ok(prepared);
        }
        let types: Vec<Type> = unprepared.bind_types.iter().copied().map(type_of).collect();
        let statement = client.prepare_typed(&unprepared.sql, &types).await;
        let statement = statement.map_err(|error| before_sending(driver.diesel_error(&error)))?;
        let oid =
            |column: &Column| NonZeroU32::new(column.type_().oid()).unwrap_or(NonZeroU32::MIN);
        let types = statement.columns().iter().map(oid).collect();
        let prepared = Prepared {
            statement,
            types,
            may_change_session: may_change_session(&unprepared.sql),
        };
        if let Some(shape) = shape {
            let gone = locked(&self.prepared).put(shape, prepared.clone());
            drop(gone);
        }
        Ok(prepared)
    }

    /// Reads the unknown OIDs from the catalog, and puts them in the places of the fake ones.
    async fn resolve_types(
        &self,
        client: &Client,
        driver: &Driver,
        unprepared: &mut Unprepared,
        binds: &mut [Option<Vec<u8>>],
    ) -> QueryResult<()> {
        let mut numbers = Vec::new();
        for name in std::mem::take(&mut unprepared.unknown) {
            const SQL: &str = "SELECT oid, typarray FROM pg_catalog.pg_type \
                WHERE oid = pg_catalog.to_regtype($1)::pg_catalog.oid";
            let quoted = name.quoted();
            let rows = client.query_typed(SQL, &[(&quoted, Type::TEXT)]).await;
            let rows = rows.map_err(|error| before_sending(driver.diesel_error(&error)))?;
            let Some(row) = rows.first() else {
                let message = format!("the database has no type {quoted}");
                return Err(SerializationError(message.into()));
            };
            let (oid, array_oid) = (row.get(0), row.get(1));
            numbers.extend([oid, array_oid]);
            let mut types = locked(&self.types);
            if !types.iter().any(|known| known.name == name) {
                types.push(TypeOids {
                    name,
                    oid,
                    array_oid,
                });
            }
        }
        for patch in &unprepared.patches {
            let index = usize::try_from(patch.fake_oid.wrapping_sub(FAKE_OIDS));
            let number = index.ok().and_then(|index| numbers.get(index)).copied();
            let number = number.unwrap_or_default();
            match patch.at {
                None => unprepared.bind_types[patch.bind] = number,
                Some(at) => {
                    if let Some(bytes) = binds[patch.bind].as_mut() {
                        bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The first fake OID. Each unknown type has two: for itself and for its array.
const FAKE_OIDS: u32 = 0xA5A5_A500;

/// Returns the OIDs of known types, and fake OIDs for others: diesel does not wait for a query
/// here.
struct TypeLookup {
    known: Vec<TypeOids>,
    unknown: Vec<TypeName>,
    /// Zero or all ones: combined with the fake OIDs, so that every bit of them changes.
    mask: u32,
}

impl PgMetadataLookup for TypeLookup {
    fn lookup_type(&mut self, name: &str, schema: Option<&str>) -> PgTypeMetadata {
        let found = self.known.iter().find(|known| known.name.is(schema, name));
        if let Some(known) = found {
            return PgTypeMetadata::new(known.oid, known.array_oid);
        }
        let known = self
            .unknown
            .iter()
            .position(|unknown| unknown.is(schema, name));
        let index = known.unwrap_or_else(|| {
            self.unknown
                .push(TypeName(schema.map(str::to_owned), name.to_owned()));
            self.unknown.len() - 1
        });
        // A query has too few types for this to wrap.
        let first = FAKE_OIDS.wrapping_add(u32::try_from(2 * index).unwrap_or_default());
        PgTypeMetadata::new(first ^ self.mask, (first + 1) ^ self.mask)
    }
}

fn type_oids(values: &RawBytesBindCollector<Pg>) -> QueryResult<Vec<u32>> {
    let numbers = values.metadata.iter().map(PgTypeMetadata::oid);
    numbers
        .collect::<Result<_, _>>()
        .map_err(|error| SerializationError(Box::new(error)))
}

/// Returns the places of fake OIDs: each of their bytes differs between the two encodings.
fn fake_oid_locations(
    values: &RawBytesBindCollector<Pg>,
    others: &RawBytesBindCollector<Pg>,
    types: &[u32],
    other_types: &[u32],
) -> Vec<OidPatch> {
    let mut patches = Vec::new();
    for (bind, (value, other)) in values.binds.iter().zip(&others.binds).enumerate() {
        if types[bind] != other_types[bind] {
            patches.push(OidPatch {
                bind,
                at: None,
                fake_oid: types[bind],
            });
        }
        let (Some(value), Some(other)) = (value, other) else {
            continue;
        };
        let mut at = 0;
        while let Some(bytes) = value.get(at..).and_then(|rest| rest.first_chunk()) {
            if other.get(at) == Some(&value[at]) {
                at += 1;
                continue;
            }
            patches.push(OidPatch {
                bind,
                at: Some(at),
                fake_oid: u32::from_be_bytes(*bytes),
            });
            at += 4;
        }
    }
    patches
}

fn type_of(number: u32) -> Type {
    Type::from_oid(number).unwrap_or_else(|| {
        // The driver only passes the OID on.
        Type::new(String::new(), number, Kind::Simple, String::new())
    })
}

/// An encoded value.
pub(super) struct Bind<'b>(pub(super) Option<&'b [u8]>);

/// Hides the value: the driver logs what it sends.
impl std::fmt::Debug for Bind<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0.map_or("NULL", |_| ".."))
    }
}

impl ToSql for Bind<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match self.0 {
            Some(bytes) => {
                out.put_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
