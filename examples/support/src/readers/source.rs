//! Opens plain and gzipped files, and reports what is wrong with them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use serde::de::DeserializeOwned;

use super::ReadError;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
const BUFFER_BYTES: usize = 64 * 1024;

/// Checks whether `path` is a directory. Fails if it does not exist.
pub(super) fn is_folder(path: &Path) -> Result<bool, ReadError> {
    let metadata = std::fs::metadata(path).map_err(|error| from_io(path, error))?;
    Ok(metadata.is_dir())
}

/// Opens a file as UTF-8 text, decompressed and without a byte order mark.
///
/// UTF-16 is detected by its mark, or by a zero beside its first character, and converted. gzip is
/// detected by the content, so a gzipped file without `.gz` is read, too. A file with `.gz` must be
/// gzip.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead>, ReadError> {
    let from_io = |error| from_io(path, error);
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(from_io)?);
    let start = file.fill_buf().map_err(from_io)?;
    let gzipped = start.starts_with(&GZIP_MAGIC);
    if !gzipped
        && path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
    {
        let path = path.to_owned();
        return Err(if start.is_empty() {
            ReadError::Empty { path }
        } else {
            ReadError::NotGzip { path }
        });
    }
    let mut text: Box<dyn BufRead> = if gzipped {
        Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            MultiGzDecoder::new(file),
        ))
    } else {
        Box::new(file)
    };

    let mut start = Vec::with_capacity(BYTE_ORDER_MARK.len());
    text.by_ref()
        .take(BYTE_ORDER_MARK.len() as u64)
        .read_to_end(&mut start)
        .map_err(from_io)?;
    if start == BYTE_ORDER_MARK {
        start.clear();
    }
    let unit: Option<fn([u8; 2]) -> u16> = match start[..] {
        [0xff, 0xfe, ..] => Some(u16::from_le_bytes),
        [0xfe, 0xff, ..] => Some(u16::from_be_bytes),
        [first, 0, ..] if first != 0 => Some(u16::from_le_bytes),
        [0, first, ..] if first != 0 => Some(u16::from_be_bytes),
        _ => None,
    };
    let Some(unit) = unit else {
        return Ok(Box::new(io::Cursor::new(start).chain(text)));
    };
    text.read_to_end(&mut start).map_err(from_io)?;
    let decoded = decoded(&start, unit).ok_or_else(|| ReadError::Encoding {
        path: path.to_owned(),
        reason: "the text looks like UTF-16 but is not valid; convert it to UTF-8".to_owned(),
    })?;
    Ok(Box::new(io::Cursor::new(decoded.into_bytes())))
}

/// Decodes UTF-16 as text without its mark.
fn decoded(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // UTF-32 would contain zeros between the characters.
    (rest.is_empty() && !text.contains('\0')).then(|| text.to_owned())
}

/// Reads a whole file as one JSON value.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Result<T, ReadError> {
    let mut text = open(path)?;
    if text
        .fill_buf()
        .map_err(|error| from_io(path, error))?
        .is_empty()
    {
        return Err(ReadError::Empty {
            path: path.to_owned(),
        });
    }
    serde_json::from_reader(text).map_err(|error| from_json(path, error))
}

/// Converts an error of reading. Errors of a damaged gzip stream are recognized by the kinds that
/// flate2 uses.
pub(super) fn from_io(path: &Path, source: io::Error) -> ReadError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Truncated { path },
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            if source.raw_os_error().is_none() =>
        {
            ReadError::Damaged {
                path,
                reason: source.to_string(),
            }
        }
        _ => ReadError::Io { path, source },
    }
}

fn from_json(path: &Path, error: serde_json::Error) -> ReadError {
    if error.is_io() {
        return from_io(path, error.into());
    }
    let (line, column) = (error.line(), error.column());
    let reason = error.to_string();
    let reason = reason
        .strip_suffix(&format!(" at line {line} column {column}"))
        .unwrap_or(&reason)
        .to_owned();
    ReadError::Json {
        path: path.to_owned(),
        line,
        column,
        reason,
    }
}

/// Returns a path in the form that all readers use.
///
/// It has `/` between its parts, and no `.`, no empty parts, no NUL, which PostgreSQL text cannot
/// contain, and no `..` that can be resolved. It is empty if nothing remains.
pub(super) fn normal_path(path: &str) -> String {
    let path = path.replace('\\', "/").replace('\0', "\u{fffd}");
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    let root = if path.starts_with("//") {
        "//"
    } else if path.starts_with('/') {
        "/"
    } else {
        ""
    };
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    /// Creates a directory for one test with `content` in a file `name`.
    pub fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    pub fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn json_error(name: &str, content: &[u8]) -> ReadError {
        let (_folder, path) = file(name, content);
        let error = json::<Vec<u32>>(&path).unwrap_err();
        assert!(
            error.to_string().starts_with(&path.display().to_string()),
            "{error}"
        );
        error
    }

    #[test]
    fn gzip_is_detected_by_content_and_a_byte_order_mark_is_skipped() {
        for (name, content) in [
            ("a.json", b"\xef\xbb\xbf[1, 2]".to_vec()),
            ("a.json", b"[1,2] \n".to_vec()),
            ("a.json", gzip(b"[1, 2]")),
            ("a.json.GZ", gzip(b"\xef\xbb\xbf[1, 2]")),
            ("a.json.gz", [gzip(b"[1,"), gzip(b"2]")].concat()),
        ] {
            let (_folder, path) = file(name, &content);
            assert_eq!(json::<Vec<u32>>(&path).unwrap(), [1, 2]);
        }
    }

    #[test]
    fn each_kind_of_malformed_file_has_its_own_error() {
        let whole = gzip(b"[1, 2]");
        assert!(matches!(json_error("a.json", b""), ReadError::Empty { .. }));
        assert!(matches!(
            json_error("a.json", b"\xef\xbb\xbf"),
            ReadError::Empty { .. }
        ));
        assert!(matches!(
            json_error("a.json.gz", b""),
            ReadError::Empty { .. }
        ));
        assert!(matches!(
            json_error("a.json.gz", &gzip(b"")),
            ReadError::Empty { .. }
        ));
        assert!(matches!(
            json_error("a.json.gz", b"[1, 2]"),
            ReadError::NotGzip { .. }
        ));
        for length in 2..whole.len() {
            let error = json_error("a.json.gz", &whole[..length]);
            assert!(
                matches!(error, ReadError::Truncated { .. }),
                "{length} bytes: {error}"
            );
        }
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(
            json_error("a.json.gz", &damaged),
            ReadError::Damaged { .. }
        ));
        assert!(matches!(
            json_error(
                "a.json.gz",
                &[&whole[..], b"garbage, more garbage"].concat()
            ),
            ReadError::Damaged { .. }
        ));
        let ReadError::Json {
            line: 2,
            column: 4,
            reason,
            ..
        } = json_error("a.json", b"[1,\n \"x\"]")
        else {
            panic!("a type error has line and column");
        };
        assert_eq!(reason, "invalid type: string \"x\", expected u32");
        assert!(matches!(
            json_error("a.json", b"[1,"),
            ReadError::Json {
                line: 1,
                column: 3,
                ..
            }
        ));
        assert!(matches!(
            json_error("a.json", b"[1] x"),
            ReadError::Json { .. }
        ));
        assert!(matches!(
            json_error("a.json", &[b'['; 100_000]),
            ReadError::Json { .. }
        ));
    }

    #[test]
    fn a_missing_file_is_an_io_error() {
        let path = Path::new("no/such/file.json");
        assert!(matches!(
            json::<u32>(path).unwrap_err(),
            ReadError::Io { .. }
        ));
        assert!(matches!(is_folder(path).unwrap_err(), ReadError::Io { .. }));
    }

    #[test]
    fn paths_have_one_form() {
        for (written, normal) in [
            ("./a/b.py", "a/b.py"),
            ("a\\b.py", "a/b.py"),
            ("a//b/../c.py", "a/c.py"),
            ("../a.py", "../a.py"),
            ("../../a/../b.py", "../../b.py"),
            ("/../a.py", "/a.py"),
            ("//host/a.py", "//host/a.py"),
            ("a\0b", "a\u{fffd}b"),
            ("./", ""),
        ] {
            assert_eq!(normal_path(written), normal);
        }
    }
}
