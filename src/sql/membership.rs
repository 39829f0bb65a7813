//! Writes of members that never leave an organization or a project without an owner.
//!
//! Each is one statement. It removes an owner only while it holds a lock on the row of another
//! owner that stays: until its transaction ends, no other transaction can remove that one. If two
//! owners leave at the same time, the second waits for the first and is refused. This also holds in
//! longer transactions and at every isolation level.
//!
//! The lock also makes the other row current. Under READ COMMITTED a statement sees what was
//! committed before it began, but it reads a row again for which it had to wait: a removed owner
//! does not count any more. An owner that was added meanwhile is not yet visible, which can only
//! refuse a write. Owners are locked in the order of their ids, and before all other members, which
//! avoids deadlocks.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::BigInt;

use super::insert::{push_insert_into, push_value};
use super::target::{Target, separate};
use super::update::push_update;
use super::upsert::push_on_conflict;
use super::{Identity, Sql, Statement};
use crate::mapping::{Changes, Membership, NewRow, RowSql};

type TargetOf<M> = Target<<M as NewRow>::Table, <M as NewRow>::Row>;

/// `UPDATE` of the member whose id a query yields. Returns no row if there is no such member, or if
/// it is the last owner and would cease to be one.
pub struct ChangeMember<'a, M: Membership, Q> {
    id: Q,
    changes: &'a M::Changes,
    target: TargetOf<M>,
}

/// `INSERT ... ON CONFLICT DO UPDATE` of a member. Returns no row if the last owner would cease to
/// be one.
pub struct UpsertMember<'a, M: Membership> {
    new: &'a M,
    target: TargetOf<M>,
}

/// `DELETE` of the members that a query yields, unless a parent would lose its last owner.
pub struct RemoveMembers<M: Membership, Q> {
    members: Q,
    target: TargetOf<M>,
}

/// The outcome of `RemoveMembers`: how many owners it has locked, how many owners it has kept
/// because no other would have stayed, how many members it has removed.
pub type Removed = (i64, i64, i64);

/// Changes the member whose id `id` selects.
pub fn change_member<M: Membership, Q>(id: Q, changes: &M::Changes) -> Sql<ChangeMember<'_, M, Q>> {
    Sql(ChangeMember {
        id,
        changes,
        target: Target::new(),
    })
}

/// Inserts a member or changes the one of the same user.
pub fn upsert_member<M: Membership>(new: &M) -> Sql<UpsertMember<'_, M>> {
    Sql(UpsertMember {
        new,
        target: Target::new(),
    })
}

/// Removes the members of which `members` selects id, parent and role.
pub fn remove_members<M: Membership, Q>(members: Q) -> Sql<RemoveMembers<M, Q>> {
    Sql(RemoveMembers {
        members,
        target: Target::new(),
    })
}

/// `WITH "owners" AS (...)`: the owners of certain parents, each locked as it is read.
fn push_owners<'b, M: Membership>(
    target: &'b TargetOf<M>,
    out: &mut AstPass<'_, 'b, Pg>,
    push_parents: impl FnOnce(&mut AstPass<'_, 'b, Pg>) -> QueryResult<()>,
) -> QueryResult<()> {
    out.push_sql("WITH \"owners\" (\"id\", \"parent\") AS MATERIALIZED (SELECT \"id\", ");
    out.push_identifier(M::PARENT)?;
    out.push_sql(" FROM ");
    target.table.walk_ast(out.reborrow())?;
    out.push_sql(" WHERE \"role\" = ");
    out.push_sql(M::OWNER);
    out.push_sql(" AND ");
    out.push_identifier(M::PARENT)?;
    out.push_sql(" = ");
    push_parents(out)?;
    out.push_sql(" ORDER BY \"id\" FOR UPDATE)");
    Ok(())
}

/// Checks whether the row that is written is no owner's or another owner stays.
fn push_owner_stays<'b, M: Membership>(
    target: &'b TargetOf<M>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    target.table.walk_ast(out.reborrow())?;
    out.push_sql(".\"role\" <> ");
    out.push_sql(M::OWNER);
    out.push_sql(" OR EXISTS (SELECT FROM \"owners\" WHERE \"owners\".\"id\" <> ");
    target.table.walk_ast(out.reborrow())?;
    out.push_sql(".\"id\")");
    Ok(())
}

impl<M: Membership, Q: QueryFragment<Pg>> Statement for ChangeMember<'_, M, Q> {
    type SqlType = RowSql<M::Row>;
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_owners::<M>(&self.target, &mut out, |out| {
            out.push_sql("(SELECT ");
            out.push_identifier(M::PARENT)?;
            out.push_sql(" FROM ");
            self.target.table.walk_ast(out.reborrow())?;
            out.push_sql(" WHERE \"id\" = (");
            self.id.walk_ast(out.reborrow())?;
            out.push_sql("))");
            Ok(())
        })?;
        out.push_sql(" ");
        push_update(self.changes, &self.target, &mut out)?;
        out.push_sql(" WHERE \"id\" = (");
        self.id.walk_ast(out.reborrow())?;
        out.push_sql(") AND (COALESCE(");
        if let Some(role) = M::Changes::COLUMNS
            .iter()
            .position(|column| column.name == "role")
        {
            self.changes.bind(role, &mut out)?;
            out.push_sql(M::Changes::COLUMNS[role].cast);
            out.push_sql(", ");
        }
        out.push_sql(M::OWNER);
        out.push_sql(") = ");
        out.push_sql(M::OWNER);
        out.push_sql(" OR ");
        push_owner_stays::<M>(&self.target, &mut out)?;
        out.push_sql(") RETURNING ");
        self.target.returning.walk_ast(out)
    }
}

impl<M: Membership> UpsertMember<'_, M> {
    fn push_given<'b>(&'b self, name: &str, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match M::COLUMNS.iter().position(|column| column.name == name) {
            Some(index) => {
                self.new.bind(index, out)?;
                out.push_sql(M::COLUMNS[index].cast);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl<M: Membership> Statement for UpsertMember<'_, M> {
    type SqlType = RowSql<M::Row>;
    type Id = UpsertMember<'static, M>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_owners::<M>(&self.target, &mut out, |out| {
            self.push_given(M::PARENT, out)
        })?;
        out.push_sql(" ");
        push_insert_into::<M>(&self.target, 0..M::COLUMNS.len(), &mut out)?;
        out.push_sql(" SELECT ");
        for (index, column) in M::COLUMNS.iter().enumerate() {
            separate(&mut out, index, ", ");
            push_value(self.new, index, column.default, &mut out)?;
        }
        // The insert would lock an owner's row first and the others' then, in any order: so lock
        // them here.
        out.push_sql(" WHERE CASE WHEN EXISTS (SELECT FROM ");
        self.target.table.walk_ast(out.reborrow())?;
        out.push_sql(" WHERE ");
        out.push_identifier(M::PARENT)?;
        out.push_sql(" = ");
        self.push_given(M::PARENT, &mut out)?;
        out.push_sql(" AND \"user_id\" = ");
        self.push_given("user_id", &mut out)?;
        out.push_sql(" AND \"role\" = ");
        out.push_sql(M::OWNER);
        out.push_sql(") THEN (SELECT pg_catalog.count(*) FROM \"owners\") ELSE 1 END >= 0");
        push_on_conflict::<M>(&self.target, &mut out, |index, out| {
            self.new.bind(index, out)
        })?;
        out.push_sql(" WHERE EXCLUDED.\"role\" = ");
        out.push_sql(M::OWNER);
        out.push_sql(" OR ");
        push_owner_stays::<M>(&self.target, &mut out)?;
        out.push_sql(" RETURNING ");
        self.target.returning.walk_ast(out)
    }
}

impl<M: Membership, Q: QueryFragment<Pg> + QueryId> Statement for RemoveMembers<M, Q> {
    type SqlType = (BigInt, BigInt, BigInt);
    type Id = RemoveMembers<M, Q::QueryId>;
    const IDENTITY: Identity = if Q::HAS_STATIC_QUERY_ID {
        Identity::Type
    } else {
        Identity::Text
    };

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_owners::<M>(&self.target, &mut out, |out| {
            out.push_sql("ANY (ARRAY(SELECT \"parent\" FROM (");
            self.members.walk_ast(out.reborrow())?;
            out.push_sql(") AS \"seen\" (\"id\", \"parent\", \"role\") WHERE \"role\" = ");
            out.push_sql(M::OWNER);
            out.push_sql("))");
            Ok(())
        })?;
        // Locked, for the same reason: what is no longer selected, or is an owner by now, is known.
        out.push_sql(", \"leaving\" (\"id\", \"parent\", \"role\") AS MATERIALIZED (");
        self.members.walk_ast(out.reborrow())?;
        out.push_sql(" FOR UPDATE), \"ownerless\" AS MATERIALIZED (SELECT FROM \"leaving\" WHERE \"role\" = ");
        out.push_sql(M::OWNER);
        out.push_sql(
            " AND \"parent\" NOT IN (SELECT \"parent\" FROM \"owners\" \
             WHERE \"id\" NOT IN (SELECT \"id\" FROM \"leaving\"))), \
             \"removed\" AS (DELETE FROM ",
        );
        self.target.table.walk_ast(out.reborrow())?;
        // The owners are counted first, and so locked first.
        out.push_sql(
            " WHERE \"id\" IN (SELECT \"id\" FROM \"leaving\") \
             AND NOT EXISTS (SELECT FROM \"ownerless\") RETURNING \"id\") \
             SELECT (SELECT pg_catalog.count(*) FROM \"owners\"), \
             (SELECT pg_catalog.count(*) FROM \"ownerless\"), \
             (SELECT pg_catalog.count(*) FROM \"removed\")",
        );
        Ok(())
    }
}
