//! A statement with its values, and the statements that a connection has prepared.

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
use tokio_postgres::{Client, Statement};

use super::answer::Types;
use super::driver::Driver;
use super::locked;
use super::refusal::before_sending;

/// What a connection has prepared, and what it knows of the types that the database has made.
#[derive(Default)]
pub(super) struct Statements {
    prepared: Mutex<Shelf>,
    types: Mutex<Vec<Known>>,
}

/// The statements that are kept prepared: those that were used last.
#[derive(Default)]
struct Shelf {
    statements: HashMap<Shape, (Prepared, u64)>,
    /// How many there may be; `None` for any number.
    bound: Option<usize>,
    /// How often one was taken or put here.
    uses: u64,
}

impl Shelf {
    fn get(&mut self, shape: &Shape) -> Option<Prepared> {
        let (prepared, used) = self.statements.get_mut(shape)?;
        self.uses += 1;
        *used = self.uses;
        Some(prepared.clone())
    }

    /// Returns what has to go for it. Dropped, it is closed on the server.
    #[must_use]
    fn put(&mut self, shape: Shape, prepared: Prepared) -> Vec<Prepared> {
        self.uses += 1;
        self.statements.insert(shape, (prepared, self.uses));
        let mut gone = Vec::new();
        while self
            .bound
            .is_some_and(|bound| self.statements.len() > bound)
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
}

/// What tells one prepared statement from another.
#[derive(PartialEq, Eq, Hash)]
enum Shape {
    /// Has one text, as its type promises, or one for each of these numbers.
    Fixed(Fixed),
    Text(String, Vec<u32>),
}

pub(crate) type Fixed = (TypeId, u64);

/// A statement with its values.
pub(super) struct Question {
    pub(super) binds: Vec<Option<Vec<u8>>>,
    statement: Asked,
    /// The text, where somebody is told of it.
    pub(super) heard: Option<String>,
}

enum Asked {
    Prepared(Prepared),
    // Boxed, since every statement is moved about, and few are prepared.
    Unprepared(Box<Unprepared>),
}

/// A statement that is to be prepared.
struct Unprepared {
    kept: Kept,
    sql: String,
    bind_types: Vec<u32>,
    missing: Vec<Missing>,
    patches: Vec<Patch>,
}

/// Under what it is kept when it is prepared.
enum Kept {
    Fixed(Fixed),
    Text,
    Once,
}

/// A type that the database has made, which has another number in each.
struct Known {
    name: Missing,
    oid: u32,
    array_oid: u32,
}

/// The schema, if it was given, and the name of a type whose number is not known yet.
#[derive(Clone, PartialEq)]
struct Missing(Option<String>, String);

impl Missing {
    fn is(&self, schema: Option<&str>, name: &str) -> bool {
        self.0.as_deref() == schema && self.1 == name
    }

    fn quoted(&self) -> String {
        let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let parts: Vec<String> = self.0.iter().chain([&self.1]).map(quoted).collect();
        parts.join(".")
    }
}

/// Where the number of a missing type is to be put: into the type of a bind, or into its bytes.
struct Patch {
    bind: usize,
    at: Option<usize>,
    placeholder: u32,
}

impl Statements {
    /// Takes from a query what is sent of it: the values, and the text unless it is prepared already.
    pub(super) fn ask<Q>(&self, query: &Q) -> QueryResult<Question>
    where
        Q: QueryFragment<Pg> + QueryId,
    {
        self.ask_with(query, query, Q::query_id().map(|id| (id, 0)))
    }

    /// As [`ask`](Self::ask), for a query whose text follows from its type and a number. `values` binds what it binds: it
    /// suffices once that is prepared.
    pub(super) fn ask_shaped(
        &self,
        query: &dyn QueryFragment<Pg>,
        values: &dyn QueryFragment<Pg>,
        (id, shape): Fixed,
    ) -> QueryResult<Question> {
        self.ask_with(query, values, Some((id, shape)))
    }

    /// Sets how many statements are kept prepared.
    pub(super) fn keep(&self, number: usize) {
        locked(&self.prepared).bound = Some(number);
    }

    /// Forgets what is prepared, and the numbers of types.
    pub(super) fn forget(&self) {
        let prepared = std::mem::take(&mut locked(&self.prepared).statements);
        drop(prepared);
        locked(&self.types).clear();
    }

    // Compiled once, not for each type of query.
    fn ask_with(
        &self,
        query: &dyn QueryFragment<Pg>,
        values: &dyn QueryFragment<Pg>,
        id: Option<Fixed>,
    ) -> QueryResult<Question> {
        // What is kept by its type was found safe to keep when it was prepared, and has the same text.
        let prepared = id.and_then(|id| locked(&self.prepared).get(&Shape::Fixed(id)));
        let count = prepared.as_ref();
        let count = count.map_or(0, |prepared| prepared.statement.params().len());
        let known = if prepared.is_some() { values } else { query };
        let (values, missing) = self.collect(known, count, 0)?;
        let statement = match prepared {
            Some(prepared) if missing.is_empty() => Asked::Prepared(prepared),
            _ => Asked::Unprepared(Box::new(self.unprepared(query, id, &values, missing)?)),
        };
        Ok(Question {
            binds: values.binds,
            statement,
            heard: None,
        })
    }

    fn unprepared(
        &self,
        query: &dyn QueryFragment<Pg>,
        id: Option<Fixed>,
        values: &RawBytesBindCollector<Pg>,
        missing: Vec<Missing>,
    ) -> QueryResult<Unprepared> {
        let bind_types = numbers(values)?;
        let mut patches = Vec::new();
        if !missing.is_empty() {
            // What the second time writes otherwise are the placeholders.
            let (again, _) = self.collect(query, values.binds.len(), u32::MAX)?;
            patches = differences(values, &again, &bind_types, &numbers(&again)?);
        }
        let mut sql = PgQueryBuilder::new();
        query.to_sql(&mut sql, &Pg)?;
        let kept = match id {
            _ if !query.is_safe_to_cache_prepared(&Pg)? => Kept::Once,
            Some(id) => Kept::Fixed(id),
            None => Kept::Text,
        };
        Ok(Unprepared {
            kept,
            sql: sql.finish(),
            bind_types,
            missing,
            patches,
        })
    }

    fn collect(
        &self,
        query: &dyn QueryFragment<Pg>,
        count: usize,
        disguise: u32,
    ) -> QueryResult<(RawBytesBindCollector<Pg>, Vec<Missing>)> {
        let mut known = locked(&self.types);
        let mut lookup = Lookup {
            known: std::mem::take(&mut *known),
            missing: Vec::new(),
            disguise,
        };
        let mut values = RawBytesBindCollector::new();
        values.binds.reserve_exact(count);
        values.metadata.reserve_exact(count);
        let outcome = query.collect_binds(&mut values, &mut lookup, &Pg);
        *known = lookup.known;
        outcome.map(|()| (values, lookup.missing))
    }

    /// The statement that the question asks for, prepared if it is not yet.
    pub(super) async fn of(
        &self,
        client: &Client,
        driver: &Driver,
        question: &mut Question,
    ) -> QueryResult<Prepared> {
        match &mut question.statement {
            Asked::Prepared(prepared) => Ok(prepared.clone()),
            Asked::Unprepared(asked) => {
                // Boxed, so that it takes no room in the future of each statement.
                Box::pin(self.prepare(client, driver, asked, &mut question.binds)).await
            }
        }
    }

    async fn prepare(
        &self,
        client: &Client,
        driver: &Driver,
        asked: &mut Unprepared,
        binds: &mut [Option<Vec<u8>>],
    ) -> QueryResult<Prepared> {
        if !asked.missing.is_empty() {
            self.look_up(client, driver, asked, binds).await?;
        }
        let shape = match asked.kept {
            Kept::Fixed(id) => Some(Shape::Fixed(id)),
            Kept::Text => Some(Shape::Text(asked.sql.clone(), asked.bind_types.clone())),
            Kept::Once => None,
        };
        if let Some(shape) = &shape
            && let Some(prepared) = locked(&self.prepared).get(shape)
        {
            return Ok(prepared);
        }
        let types: Vec<Type> = asked.bind_types.iter().copied().map(type_of).collect();
        let statement = client.prepare_typed(&asked.sql, &types).await;
        let statement = statement.map_err(|error| before_sending(driver.refused(&error)))?;
        let types = statement.columns().iter();
        let types = types.map(|column| NonZeroU32::new(column.type_().oid()));
        let types = types.map(|number| number.unwrap_or(NonZeroU32::MIN));
        let types = types.collect();
        let prepared = Prepared { statement, types };
        if let Some(shape) = shape {
            let gone = locked(&self.prepared).put(shape, prepared.clone());
            drop(gone);
        }
        Ok(prepared)
    }

    /// Asks for the numbers of the types that are missing, and puts them where they belong.
    async fn look_up(
        &self,
        client: &Client,
        driver: &Driver,
        asked: &mut Unprepared,
        binds: &mut [Option<Vec<u8>>],
    ) -> QueryResult<()> {
        let mut numbers = Vec::new();
        for name in std::mem::take(&mut asked.missing) {
            const SQL: &str = "SELECT oid, typarray FROM pg_catalog.pg_type \
                WHERE oid = pg_catalog.to_regtype($1)::pg_catalog.oid";
            let quoted = name.quoted();
            let rows = client.query_typed(SQL, &[(&quoted, Type::TEXT)]).await;
            let rows = rows.map_err(|error| before_sending(driver.refused(&error)))?;
            let Some(row) = rows.first() else {
                let message = format!("the database has no type {quoted}");
                return Err(SerializationError(message.into()));
            };
            let (oid, array_oid) = (row.get(0), row.get(1));
            numbers.extend([oid, array_oid]);
            let mut types = locked(&self.types);
            if !types.iter().any(|known| known.name == name) {
                types.push(Known {
                    name,
                    oid,
                    array_oid,
                });
            }
        }
        for patch in &asked.patches {
            let index = usize::try_from(patch.placeholder.wrapping_sub(PLACEHOLDERS));
            let number = index.ok().and_then(|index| numbers.get(index)).copied();
            let number = number.unwrap_or_default();
            match patch.at {
                None => asked.bind_types[patch.bind] = number,
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

/// The first of the numbers that stand in for those of types not known yet: two for each, itself and its array.
const PLACEHOLDERS: u32 = 0xA5A5_A500;

/// Knows the types that were asked for before. For others it gives numbers that are put right later, since asking
/// takes time, and a query does not wait for it.
struct Lookup {
    known: Vec<Known>,
    missing: Vec<Missing>,
    /// Changes every bit of the placeholders, or none.
    disguise: u32,
}

impl PgMetadataLookup for Lookup {
    fn lookup_type(&mut self, name: &str, schema: Option<&str>) -> PgTypeMetadata {
        let found = self.known.iter().find(|known| known.name.is(schema, name));
        if let Some(known) = found {
            return PgTypeMetadata::new(known.oid, known.array_oid);
        }
        let known = self
            .missing
            .iter()
            .position(|missing| missing.is(schema, name));
        let index = known.unwrap_or_else(|| {
            self.missing
                .push(Missing(schema.map(str::to_owned), name.to_owned()));
            self.missing.len() - 1
        });
        // No query names as many types as would make this wrap.
        let first = PLACEHOLDERS.wrapping_add(u32::try_from(2 * index).unwrap_or_default());
        PgTypeMetadata::new(first ^ self.disguise, (first + 1) ^ self.disguise)
    }
}

fn numbers(values: &RawBytesBindCollector<Pg>) -> QueryResult<Vec<u32>> {
    let numbers = values.metadata.iter().map(PgTypeMetadata::oid);
    numbers
        .collect::<Result<_, _>>()
        .map_err(|error| SerializationError(Box::new(error)))
}

/// Where the first values hold a placeholder: every byte of it is another in the second.
fn differences(
    values: &RawBytesBindCollector<Pg>,
    others: &RawBytesBindCollector<Pg>,
    types: &[u32],
    other_types: &[u32],
) -> Vec<Patch> {
    let mut patches = Vec::new();
    for (bind, (value, other)) in values.binds.iter().zip(&others.binds).enumerate() {
        if types[bind] != other_types[bind] {
            patches.push(Patch {
                bind,
                at: None,
                placeholder: types[bind],
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
            patches.push(Patch {
                bind,
                at: Some(at),
                placeholder: u32::from_be_bytes(*bytes),
            });
            at += 4;
        }
    }
    patches
}

fn type_of(number: u32) -> Type {
    Type::from_oid(number).unwrap_or_else(|| {
        // The driver only passes the number on.
        Type::new(String::new(), number, Kind::Simple, String::new())
    })
}

/// A value, written already.
pub(super) struct Bind<'b>(pub(super) Option<&'b [u8]>);

/// Not the value: the driver logs what it sends.
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
