//! The archive of a partition of a log.
//!
//! An archive is text: one line of JSON with the log, the bounds and the columns; the rows as
//! `COPY … TO STDOUT` writes them, one line each; the line `\.`; one line of JSON with the number
//! of rows. So `sed 1d | psql -c 'COPY … FROM STDIN'` reads it, too.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A partition of a log that was archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ArchivedMonth {
    /// The name of the partition, with its schema.
    pub name: String,
    /// The lower bound, inclusive, if there is one.
    pub from: Option<DateTime<Utc>>,
    /// The upper bound, exclusive.
    pub before: DateTime<Utc>,
    /// The number of rows.
    pub rows: u64,
    /// The number of bytes of the archive, before the output compresses them.
    pub bytes: u64,
}

/// A month of a log that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RestoredMonth {
    /// The name of the partition, with its schema.
    pub name: String,
    /// The number of rows.
    pub rows: u64,
    /// The number of references to users and organizations that were removed, because these do not
    /// exist any more.
    pub cleared_references: u64,
}

/// The handling of archived rows that refer to users or organizations that do not exist any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingReferences {
    /// The month is not restored: [`Error::MissingReference`].
    #[default]
    Refuse,
    /// The id is removed from the column and recorded in the row's `metadata` (`data` in the system
    /// log) as `dangling_user_id` or `dangling_organization_id`. A seal of the month then reports
    /// these rows as changed.
    Clear,
}

/// The version of the form of an archive.
const VERSION: u32 = 1;

/// The first line of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogArchiveHeader {
    /// The version of the form.
    wundr_log_archive: u32,
    pub(crate) log: String,
    /// The name of the partition, with its schema.
    pub(crate) name: String,
    pub(crate) from: Option<DateTime<Utc>>,
    pub(crate) before: DateTime<Utc>,
    pub(crate) columns: Vec<String>,
}

/// The last line of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct ArchiveTrailer {
    rows: u64,
    bytes: u64,
}

impl LogArchiveHeader {
    pub(crate) fn new(
        log: &str,
        name: &str,
        (from, before): (Option<DateTime<Utc>>, DateTime<Utc>),
        columns: Vec<String>,
    ) -> Self {
        Self {
            wundr_log_archive: VERSION,
            log: log.to_owned(),
            name: name.to_owned(),
            from,
            before,
            columns,
        }
    }

    /// Returns the line.
    pub(crate) fn line(&self) -> Result<String> {
        let json = serde_json::to_string(self).map_err(|error| Error::invalid("archive", error))?;
        Ok(format!("{json}\n"))
    }

    fn parse(line: &[u8]) -> Result<Self> {
        let invalid = |reason: &str| Error::invalid("archive", reason);
        let header: Self = serde_json::from_slice(line)
            .map_err(|_| invalid("does not begin with the header of a log archive"))?;
        if header.wundr_log_archive != VERSION {
            return Err(invalid("was written by a newer version of this crate"));
        }
        // The name becomes that of a table.
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let suffix = header.name.strip_prefix(&header.log);
        let has_name = suffix.is_some_and(|suffix| {
            suffix.starts_with('_') && suffix != "_default" && suffix.chars().all(is_plain)
        });
        if header.columns.is_empty() || !has_name {
            return Err(invalid("has no columns or no valid name"));
        }
        Ok(header)
    }
}

/// The rows and bytes of a `COPY` in text form.
#[derive(Debug, Default)]
pub(crate) struct CopyTally {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl CopyTally {
    /// Counts these bytes. Each row ends with a line feed, and has no other.
    pub(crate) fn count(&mut self, bytes: &[u8]) {
        let rows = bytes.iter().filter(|&&byte| byte == b'\n').count();
        self.rows += u64::try_from(rows).unwrap_or(u64::MAX);
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    }

    /// Returns the lines behind the rows.
    pub(crate) fn trailer(&self) -> Result<String> {
        let trailer = ArchiveTrailer {
            rows: self.rows,
            bytes: self.bytes,
        };
        let json =
            serde_json::to_string(&trailer).map_err(|error| Error::invalid("archive", error))?;
        Ok(format!("\\.\n{json}\n"))
    }
}

/// The line behind the last row.
const END: &[u8] = b"\\.";

/// The greatest length in bytes of the first and of the last line.
const LONGEST_LINE: usize = 64 * 1024;

/// Reads an archive, in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct ArchiveReader {
    header: Option<LogArchiveHeader>,
    /// The begin of a line that is not complete.
    rest: Vec<u8>,
    tally: CopyTally,
    rows_are_over: bool,
    trailer: Option<ArchiveTrailer>,
}

impl ArchiveReader {
    /// Takes bytes until the header is complete, and returns it.
    pub(crate) fn take_header(
        &mut self,
        bytes: Option<&[u8]>,
    ) -> Result<Option<&LogArchiveHeader>> {
        self.rest.extend_from_slice(bytes.unwrap_or_default());
        match self.rest.iter().position(|&byte| byte == b'\n') {
            Some(end) => {
                let behind = self.rest.split_off(end + 1);
                let line = std::mem::replace(&mut self.rest, behind);
                self.header = Some(LogArchiveHeader::parse(&line)?);
            }
            None if bytes.is_none() || self.rest.len() > LONGEST_LINE => {
                return Err(Error::invalid(
                    "archive",
                    "does not begin with the header of a log archive",
                ));
            }
            None => {}
        }
        Ok(self.header.as_ref())
    }

    /// Takes bytes. Appends the rows among them to `rows`, and returns `true` after the trailer.
    pub(crate) fn take_rows(&mut self, bytes: Option<&[u8]>, rows: &mut Vec<u8>) -> Result<bool> {
        let is_at_end = bytes.is_none();
        self.rest.extend_from_slice(bytes.unwrap_or_default());
        let taken = std::mem::take(&mut self.rest);
        let mut lines = taken.as_slice();
        while self.trailer.is_none()
            && let Some(end) = lines.iter().position(|&byte| byte == b'\n')
        {
            let (line, behind) = lines.split_at(end);
            lines = behind.get(1..).unwrap_or_default();
            match self.rows_are_over {
                false if line == END => self.rows_are_over = true,
                false => {
                    rows.extend_from_slice(line);
                    rows.push(b'\n');
                }
                true => self.end(line)?,
            }
        }
        self.tally.count(rows);
        if self.trailer.is_none() && is_at_end {
            return Err(Error::invalid("archive", "ends before its last line"));
        }
        if self.rows_are_over && self.trailer.is_none() && lines.len() > LONGEST_LINE {
            return Err(Error::invalid("archive", "has no last line"));
        }
        self.rest = lines.to_vec();
        Ok(self.trailer.is_some())
    }

    fn end(&mut self, line: &[u8]) -> Result<()> {
        let trailer = serde_json::from_slice(line);
        let trailer = trailer.map_err(|_| Error::invalid("archive", "has no last line"))?;
        self.trailer = Some(trailer);
        Ok(())
    }

    /// Checks that `stored` rows are those that the archive has.
    pub(crate) fn check(&self, stored: u64) -> Result<()> {
        let is_whole = self.trailer.is_some_and(|trailer| {
            trailer.rows == stored
                && trailer.rows == self.tally.rows
                && trailer.bytes == self.tally.bytes
        });
        match is_whole {
            true => Ok(()),
            false => Err(Error::invalid(
                "archive",
                format_args!(
                    "{stored} rows were stored, and the archive has another number of rows or bytes"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(rows: &str) -> Vec<u8> {
        let before = "2024-02-01T00:00:00Z".parse().unwrap();
        let columns = vec!["id".to_owned(), "message".to_owned()];
        let header =
            LogArchiveHeader::new("audit.log", "audit.log_2024_01", (None, before), columns);
        let mut tally = CopyTally::default();
        tally.count(rows.as_bytes());
        [
            header.line().unwrap().as_str(),
            rows,
            &tally.trailer().unwrap(),
        ]
        .concat()
        .into_bytes()
    }

    /// Reads an archive in pieces of this size.
    fn read(archive: &[u8], size: usize) -> Result<(LogArchiveHeader, String)> {
        let mut pieces = archive.chunks(size);
        let mut reader = ArchiveReader::default();
        let header = loop {
            if let Some(header) = reader.take_header(pieces.next())? {
                break header.clone();
            }
        };
        let (mut rows, mut piece) = (Vec::new(), Some([].as_slice()));
        loop {
            let mut more = Vec::new();
            let is_over = reader.take_rows(piece, &mut more)?;
            rows.extend(more);
            if is_over {
                break;
            }
            piece = pieces.next();
        }
        let rows = String::from_utf8(rows).unwrap();
        let stored = rows.lines().count();
        reader.check(stored.try_into().unwrap())?;
        Ok((header, rows))
    }

    #[test]
    fn an_archive_is_read_in_pieces_of_any_size() {
        for rows in ["", "1\ta\n", "1\ta\\nb\n2\t\\\\.\n\\N\t\n"] {
            let archive = archive(rows);
            for size in 1..=archive.len() {
                let (header, read) = read(&archive, size).unwrap();
                assert_eq!((header.columns.len(), read.as_str()), (2, rows));
            }
        }
    }

    #[test]
    fn an_archive_that_is_cut_off_anywhere_or_has_another_row_is_refused() {
        let whole = archive("1\ta\n2\tb\n");
        for length in 0..whole.len() - 1 {
            assert!(read(&whole[..length], 7).is_err(), "{length}");
        }
        let text = String::from_utf8(whole).unwrap();
        for (from, to) in [
            ("2\tb\n", ""),
            ("2\tb\n", "2\tb\n3\tc\n"),
            ("\tb\n", "\tbb\n"),
        ] {
            let changed = text.replace(from, to);
            assert!(read(changed.as_bytes(), 7).is_err(), "{changed}");
        }
    }

    #[test]
    fn an_archive_names_no_other_table() {
        for (from, to) in [
            ("log_2024_01", "log_default"),
            ("log_2024_01", "logs"),
            ("log_2024_01", "log_2024; DROP TABLE x"),
            ("\"wundr_log_archive\":1", "\"wundr_log_archive\":2"),
            ("[\"id\",\"message\"]", "[]"),
        ] {
            let text = String::from_utf8(archive("")).unwrap();
            let changed = text.replace(from, to);
            assert_ne!(text, changed);
            assert!(read(changed.as_bytes(), 64).is_err(), "{changed}");
        }
    }
}
