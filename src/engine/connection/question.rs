//! A statement with its values, and the statements that a connection has prepared.

use std::any::TypeId;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{BufMut as _, BytesMut};
use diesel::QueryResult;
use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{QueryBuilder as _, QueryFragment, QueryId};
use diesel::result::Error::SerializationError;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::answer::Types;
use super::refusal::End;

/// What a connection has prepared, and what it knows of the types that the database has made.
#[derive(Default)]
pub(super) struct Statements {
    prepared: Mutex<HashMap<Shape, Prepared>>,
    types: Mutex<Vec<Known>>,
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

type Fixed = (TypeId, u64);

/// A statement with its values.
pub(super) struct Question {
    pub(super) binds: Vec<Option<Vec<u8>>>,
    bind_types: Vec<u32>,
    missing: Vec<Missing>,
    patches: Vec<Patch>,
    statement: Asked,
    /// The text, where somebody is told of it.
    pub(super) heard: Option<String>,
}

enum Asked {
    Prepared(Prepared),
    Fixed(Fixed, String),
    Text(String),
    /// Prepared for this time only.
    Once(String),
}

impl Asked {
    /// How many values there will be, as far as it is known before they are collected.
    fn likely_values(&self) -> usize {
        match self {
            Self::Prepared(prepared) => prepared.statement.params().len(),
            _ => 0,
        }
    }
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Statements {
    /// Takes from a query what is sent of it: the values, and the text unless it is prepared already.
    pub(super) fn ask<Q>(&self, query: &Q) -> QueryResult<Question>
    where
        Q: QueryFragment<Pg> + QueryId,
    {
        self.ask_with(query, Q::query_id().map(|id| (id, 0)))
    }

    /// As [`ask`](Self::ask), for a query whose text follows from its type and a number.
    pub(super) fn ask_shaped(
        &self,
        query: &dyn QueryFragment<Pg>,
        id: TypeId,
        shape: u64,
    ) -> QueryResult<Question> {
        self.ask_with(query, Some((id, shape)))
    }

    // Compiled once, not for each type of query.
    fn ask_with(&self, query: &dyn QueryFragment<Pg>, id: Option<Fixed>) -> QueryResult<Question> {
        let statement = self.statement(query, id)?;
        let (values, missing) = self.collect(query, statement.likely_values(), 0)?;
        let bind_types = match statement {
            Asked::Prepared(_) if missing.is_empty() => Vec::new(),
            _ => numbers(&values)?,
        };
        let mut patches = Vec::new();
        if !missing.is_empty() {
            // What the second time writes otherwise are the placeholders.
            let (again, _) = self.collect(query, values.binds.len(), u32::MAX)?;
            patches = differences(&values, &again, &bind_types, &numbers(&again)?);
        }
        Ok(Question {
            statement,
            binds: values.binds,
            bind_types,
            missing,
            patches,
            heard: None,
        })
    }

    fn statement(&self, query: &dyn QueryFragment<Pg>, id: Option<Fixed>) -> QueryResult<Asked> {
        // What is kept by its type was found safe to keep when it was prepared, and has the same text.
        if let Some(id) = id
            && let Some(prepared) = locked(&self.prepared).get(&Shape::Fixed(id))
        {
            return Ok(Asked::Prepared(prepared.clone()));
        }
        let is_kept = query.is_safe_to_cache_prepared(&Pg)?;
        let mut sql = PgQueryBuilder::new();
        query.to_sql(&mut sql, &Pg)?;
        let sql = sql.finish();
        Ok(match id.filter(|_| is_kept) {
            Some(id) => Asked::Fixed(id, sql),
            None if is_kept => Asked::Text(sql),
            None => Asked::Once(sql),
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
        end: &End,
        question: &mut Question,
    ) -> QueryResult<Prepared> {
        if !question.missing.is_empty() {
            self.look_up(client, end, question).await?;
        }
        let (shape, sql) =
            match std::mem::replace(&mut question.statement, Asked::Text(String::new())) {
                Asked::Prepared(prepared) => return Ok(prepared),
                Asked::Fixed(id, sql) => (Some(Shape::Fixed(id)), sql),
                Asked::Text(sql) => {
                    let shape = Shape::Text(sql.clone(), question.bind_types.clone());
                    (Some(shape), sql)
                }
                Asked::Once(sql) => (None, sql),
            };
        if let Some(shape) = &shape
            && let Some(prepared) = locked(&self.prepared).get(shape)
        {
            return Ok(prepared.clone());
        }
        let types: Vec<Type> = question.bind_types.iter().copied().map(type_of).collect();
        let statement = client.prepare_typed(&sql, &types).await;
        let statement = statement.map_err(|error| end.refused(&error))?;
        let types = statement.columns().iter();
        let types = types.map(|column| NonZeroU32::new(column.type_().oid()));
        let types = types.map(|number| number.unwrap_or(NonZeroU32::MIN));
        let types = types.collect();
        let prepared = Prepared { statement, types };
        if let Some(shape) = shape {
            locked(&self.prepared).insert(shape, prepared.clone());
        }
        Ok(prepared)
    }

    /// Asks for the numbers of the types that are missing, and puts them where they belong.
    async fn look_up(
        &self,
        client: &Client,
        end: &End,
        question: &mut Question,
    ) -> QueryResult<()> {
        let mut numbers = Vec::new();
        for name in std::mem::take(&mut question.missing) {
            const SQL: &str = "SELECT oid, typarray FROM pg_catalog.pg_type \
                WHERE oid = pg_catalog.to_regtype($1)::pg_catalog.oid";
            let quoted = name.quoted();
            let rows = client.query_typed(SQL, &[(&quoted, Type::TEXT)]).await;
            let rows = rows.map_err(|error| end.refused(&error))?;
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
        for patch in &question.patches {
            let index = usize::try_from(patch.placeholder.wrapping_sub(PLACEHOLDERS));
            let number = index.ok().and_then(|index| numbers.get(index)).copied();
            let number = number.unwrap_or_default();
            match patch.at {
                None => question.bind_types[patch.bind] = number,
                Some(at) => {
                    if let Some(bytes) = question.binds[patch.bind].as_mut() {
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
#[derive(Debug)]
pub(super) struct Bind(pub(super) Option<Vec<u8>>);

impl ToSql for Bind {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.0 {
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
