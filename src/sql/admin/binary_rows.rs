//! The rows of a binary `COPY` within a longer stream.

use crate::sql::copy::CopyData;
use crate::{Error, Result};

/// The signature of a binary `COPY`.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Finds the end of a binary `COPY`, and counts its rows.
///
/// It begins with the signature, flags and an extension with its length. A row is its number of
/// fields, and each field its length and its bytes. The number -1 is the end.
#[derive(Debug, Default)]
pub(crate) struct BinaryRows {
    part: Part,
    /// The bytes of the number that is being read.
    number: Vec<u8>,
    /// The number of bytes to pass over.
    skip: usize,
    /// The number of fields of the row that follow.
    fields: usize,
    pub(crate) rows: u64,
    pub(crate) checksum: Checksum,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Header,
    Row,
    Field,
    End,
}

impl Part {
    /// Returns the length of the number at its beginning.
    const fn length(self) -> usize {
        match self {
            Self::Header => 19,
            Self::Row => 2,
            Self::Field => 4,
            Self::End => 0,
        }
    }
}

/// The FNV-1a hash of the bytes. It detects damage, and no forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checksum(u64);

impl Default for Checksum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

fn malformed() -> Error {
    Error::invalid("archive", "contains something else where rows are expected")
}

impl BinaryRows {
    pub(crate) fn is_over(&self) -> bool {
        self.part == Part::End
    }

    /// Takes bytes up to the end, and returns their number.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_over() {
            let wanted = match self.skip {
                0 => self.part.length() - self.number.len(),
                skip => skip,
            };
            let (taken, behind) = rest.split_at(wanted.min(rest.len()));
            rest = behind;
            if self.skip > 0 {
                self.skip -= taken.len();
                continue;
            }
            self.number.extend_from_slice(taken);
            if taken.len() == wanted {
                let number = std::mem::take(&mut self.number);
                self.begin(&number)?;
                self.number = number;
                self.number.clear();
            }
        }
        let taken = bytes.len() - rest.len();
        self.checksum.add(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    /// Begins what a number announces.
    fn begin(&mut self, number: &[u8]) -> Result<()> {
        match self.part {
            Part::Header => {
                let length = number
                    .strip_prefix(SIGNATURE)
                    .and_then(|rest| rest.get(4..));
                let length = length.and_then(length_of).ok_or_else(malformed)?;
                self.skip = length.ok_or_else(malformed)?;
                self.part = Part::Row;
            }
            Part::Row => {
                let fields = number.try_into().map(i16::from_be_bytes);
                let fields = fields.map_err(|_| malformed())?;
                if fields == -1 {
                    self.part = Part::End;
                    return Ok(());
                }
                self.fields = usize::try_from(fields).map_err(|_| malformed())?;
                self.rows += 1;
            }
            Part::Field => {
                let length = length_of(number).ok_or_else(malformed)?;
                self.skip = length.unwrap_or(0);
                self.fields -= 1;
            }
            Part::End => {}
        }
        self.part = match self.fields {
            0 => Part::Row,
            _ => Part::Field,
        };
        Ok(())
    }
}

/// Returns the length that four bytes are, `None` within if it is that of NULL.
fn length_of(bytes: &[u8]) -> Option<Option<usize>> {
    match i32::from_be_bytes(bytes.try_into().ok()?) {
        -1 => Some(None),
        length => usize::try_from(length).ok().map(Some),
    }
}

/// The rows of the table that is being imported, out of an archive.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) rows: BinaryRows,
    /// The bytes of the archive that were read and not taken.
    pub(crate) rest: Vec<u8>,
}

impl CopyData for Section {
    fn take(&mut self, bytes: Option<&[u8]>, rows: &mut Vec<u8>) -> Result<bool> {
        self.rest.extend_from_slice(bytes.unwrap_or_default());
        let taken = self.rows.take(&self.rest)?;
        rows.extend(self.rest.drain(..taken));
        Ok(self.rows.is_over())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A COPY of two rows: one with a value and NULL, one with an empty value and a long one.
    fn copy() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 3, 9, 9, 9]);
        bytes.extend_from_slice(&[0, 2, 0, 0, 0, 1, 7, 255, 255, 255, 255]);
        bytes.extend_from_slice(&[0, 2, 0, 0, 0, 0, 0, 0, 0, 5, 255, 255, 255, 255, 255]);
        bytes.extend_from_slice(&[255, 255]);
        bytes
    }

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        let copy = copy();
        let mut whole = BinaryRows::default();
        whole.take(&copy).unwrap();
        for size in 1..=copy.len() {
            let mut section = Section::default();
            let mut rows = Vec::new();
            let mut stream = copy.clone();
            stream.extend_from_slice(b"rest");
            let mut is_over = section.take(Some(b""), &mut rows).unwrap();
            for chunk in stream.chunks(size) {
                assert!(!is_over || rows.len() == copy.len());
                is_over = section.take(Some(chunk), &mut rows).unwrap();
            }
            assert!(is_over);
            assert_eq!((&rows, section.rows.rows), (&copy, 2), "{size}");
            assert_eq!(section.rest, b"rest");
            assert_eq!(section.rows.checksum, whole.checksum);
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(BinaryRows::default().take(&[b'x'; 40]).is_err());
        let mut negative = copy();
        let length = SIGNATURE.len() + 8 + 3 + 2;
        negative[length..length + 4].copy_from_slice(&[255, 255, 255, 254]);
        assert!(BinaryRows::default().take(&negative).is_err());
        let mut cut = BinaryRows::default();
        let copy = copy();
        cut.take(&copy[..copy.len() - 1]).unwrap();
        assert!(!cut.is_over());
    }
}
