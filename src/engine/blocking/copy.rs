//! `COPY` into a table, by diesel's own.

use std::io::Write;
use std::marker::PhantomData;

use diesel::ExecuteCopyFromDsl as _;
use diesel::pg::{CopyFormat, CopyTarget, Pg, PgConnection};
use diesel::query_builder::AstPass;
use diesel::result::Error::SerializationError;
use diesel::{QueryResult, RunQueryDsl as _, sql_types};

use crate::mapping::NewRow;
use crate::sql::copy::{CopyEncoder, Defaults, copy_probe, copy_target};

/// The columns of a new row.
struct Columns<N>(PhantomData<N>);

impl<N: NewRow> CopyTarget for Columns<N> {
    type Table = N::Table;
    type SqlType = sql_types::Binary;

    fn walk_target(mut out: AstPass<'_, '_, Pg>) -> QueryResult<()> {
        out.push_sql(&copy_target::<N>()?);
        Ok(())
    }
}

/// Copies rows, none of which is there afterwards if one of them is refused; `None` if they may not
/// be copied.
pub(super) fn copy<N: NewRow + Sync>(
    connection: &mut PgConnection,
    rows: &[N],
) -> QueryResult<Option<usize>> {
    let record: Vec<u8> = copy_probe::<N>().get_result(connection)?;
    let Some(defaults) = Defaults::of(N::COLUMNS, &record)? else {
        return Ok(None);
    };
    let send = |server: &mut dyn Write| {
        let (mut copied, mut buffer) = (CopyEncoder::new(&rows, &defaults), Vec::new());
        while copied.fill(&mut buffer)? {
            server
                .write_all(&buffer)
                .map_err(|error| SerializationError(Box::new(error)))?;
            buffer.clear();
        }
        Ok::<_, diesel::result::Error>(())
    };
    diesel::copy_from(N::Table::default())
        .from_raw_data(Columns::<N>(PhantomData), send)
        .with_format(CopyFormat::Binary)
        .execute(connection)
        .map(Some)
}
