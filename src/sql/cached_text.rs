//! The texts of statements that have one for each shape, made once.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use diesel::QueryResult;
use diesel::pg::{Pg, PgQueryBuilder};
use diesel::query_builder::{QueryBuilder as _, QueryFragment};

/// The identity of a text: the type of the statement, and a number.
pub(crate) type Shape = (TypeId, u64);

static TEXTS: LazyLock<RwLock<HashMap<Shape, Arc<str>>>> = LazyLock::new(RwLock::default);

/// The number of texts that are kept. Beyond it, texts are built again.
const MOST: usize = 4096;

/// Pushes the whole text of a statement. diesel's blocking engine finds what it has prepared by
/// that, and making it takes longer than all else that the client does for an insert.
// Takes a trait object, so that it is compiled once.
pub(super) fn push_cached_text(
    statement: &dyn QueryFragment<Pg>,
    shape: Shape,
    out: &mut PgQueryBuilder,
) -> QueryResult<()> {
    let text = match known(shape) {
        Some(text) => text,
        None => {
            let mut made = PgQueryBuilder::new();
            statement.to_sql(&mut made, &Pg)?;
            let text: Arc<str> = made.finish().into();
            let mut known = TEXTS.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() < MOST {
                known.insert(shape, Arc::clone(&text));
            }
            text
        }
    };
    out.push_sql(&text);
    Ok(())
}

fn known(shape: Shape) -> Option<Arc<str>> {
    let known = TEXTS.read().unwrap_or_else(PoisonError::into_inner);
    known.get(&shape).cloned()
}
