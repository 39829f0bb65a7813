//! Inserts that diesel's blocking engine finds by their type.

use super::*;

/// An insert of one of the two commonest shapes: of a row with all that it can have, or with nothing that has a default.
/// Its text is not made, hashed and compared to find what is prepared for it, which takes a fifth of what a call takes.
pub struct Typed<'a, N: NewRow, const WHOLE: bool>(Insert<'a, N>);

/// An insert, by how it is found.
pub(crate) enum Found<'a, N: NewRow> {
    Whole(Typed<'a, N, true>),
    Bare(Typed<'a, N, false>),
    ByText(Insert<'a, N>),
}

pub(crate) fn found<N: NewRow>(insert: Insert<'_, N>) -> Found<'_, N> {
    let has_default = |index: &usize| N::COLUMNS[*index].default.is_some();
    let mut optional = (0..N::COLUMNS.len()).filter(has_default);
    let is_given = |index| insert.new.is_given(index);
    if optional.clone().all(is_given) {
        Found::Whole(Typed(insert))
    } else if optional.any(is_given) {
        Found::ByText(insert)
    } else {
        Found::Bare(Typed(insert))
    }
}

impl<N: NewRow, const WHOLE: bool> QueryId for Typed<'_, N, WHOLE> {
    type QueryId = Typed<'static, N, WHOLE>;
    const HAS_STATIC_QUERY_ID: bool = true;

    fn query_id() -> Option<TypeId> {
        Some(TypeId::of::<Self::QueryId>())
    }
}

impl<N: NewRow, const WHOLE: bool> QueryFragment<Pg> for Typed<'_, N, WHOLE> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, backend: &Pg) -> QueryResult<bool> {
        self.0.is_safe_to_cache_prepared(backend)
    }

    fn collect_binds<'b>(
        &'b self,
        out: &mut RawBytesBindCollector<Pg>,
        lookup: &mut (dyn PgMetadataLookup + 'static),
        backend: &'b Pg,
    ) -> QueryResult<()> {
        self.0.collect_binds(out, lookup, backend)
    }
}

impl<N: NewRow, const WHOLE: bool> Query for Typed<'_, N, WHOLE> {
    type SqlType = <Insert<'static, N> as Query>::SqlType;
}

impl<N: NewRow, const WHOLE: bool, C> diesel::RunQueryDsl<C> for Typed<'_, N, WHOLE> {}
