//! The output of lizard's `--csv`: one record for each function, without a header.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{ReadError, source};

/// One function and lizard's measurements.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// The file, relative to the project's root.
    pub file_path: String,
    /// The name alone.
    pub name: String,
    /// The name with its parameters.
    pub signature: String,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// Lines of code, without blank lines and comments.
    pub nloc: u32,
    /// McCabe's cyclomatic complexity, at least 1.
    pub complexity: u32,
    /// Tokens of code.
    pub tokens: u32,
    /// Parameters.
    pub parameters: u32,
    /// Lines from the first to the last.
    pub length: u32,
}

/// The aggregated functions of a file or of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileComplexity {
    /// Number of functions.
    pub functions: u64,
    /// Lines of code inside functions.
    pub nloc: u64,
    /// Tokens inside functions.
    pub tokens: u64,
    /// Sum of the complexities.
    pub total_complexity: u64,
    /// The greatest complexity.
    pub max_complexity: u32,
    /// Mean complexity of a function; 0 if there is none.
    pub average_complexity: f64,
    /// Name of the function with the most lines, the first of several.
    pub longest_function: Option<String>,
    /// Its lines.
    pub longest_function_length: u32,
}

impl FileComplexity {
    /// Aggregates the given functions.
    pub fn of<'a>(functions: impl IntoIterator<Item = &'a Function>) -> Self {
        let mut all = Self::default();
        for function in functions {
            all.functions += 1;
            all.nloc += u64::from(function.nloc);
            all.tokens += u64::from(function.tokens);
            all.total_complexity += u64::from(function.complexity);
            all.max_complexity = all.max_complexity.max(function.complexity);
            if all.longest_function.is_none() || function.length > all.longest_function_length {
                all.longest_function = Some(function.name.clone());
                all.longest_function_length = function.length;
            }
        }
        if all.functions > 0 {
            all.average_complexity = all.total_complexity as f64 / all.functions as f64;
        }
        all
    }
}

/// Aggregates the functions of each file, by its path.
pub fn by_file(functions: &[Function]) -> BTreeMap<&str, FileComplexity> {
    let mut of_file: BTreeMap<&str, Vec<&Function>> = BTreeMap::new();
    for function in functions {
        of_file
            .entry(&function.file_path)
            .or_default()
            .push(function);
    }
    of_file
        .into_iter()
        .map(|(path, functions)| (path, FileComplexity::of(functions)))
        .collect()
}

const COLUMNS: [&str; 11] = [
    "NLOC",
    "CCN",
    "token count",
    "parameter count",
    "length",
    "location",
    "file",
    "function",
    "signature",
    "start line",
    "end line",
];

/// Reads lizard's CSV.
///
/// A file without records is a project without functions. The header that `--verbose` adds is
/// skipped.
///
/// # Errors
/// [`ReadError::Csv`] with the number of the record, and the errors of [`super::read`] for a
/// malformed file.
pub fn read(path: &Path) -> Result<Vec<Function>, ReadError> {
    let mut records = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(source::open(path)?);
    let mut functions = Vec::new();
    for (number, record) in (1..).zip(records.records()) {
        let record = record.map_err(|error| from_csv(path, number, error))?;
        if number == 1 && record.get(0) == Some(COLUMNS[0]) {
            continue;
        }
        let function = function(&record);
        functions.push(function.map_err(|reason| ReadError::Csv {
            path: path.to_owned(),
            record: number,
            reason,
        })?);
    }
    Ok(functions)
}

/// Converts an error of the csv crate.
pub(super) fn from_csv(path: &Path, record: u64, error: csv::Error) -> ReadError {
    let reason = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => source::from_io(path, error),
        csv::ErrorKind::Utf8 { err, .. } => {
            let reason = format!("column {}: {err}", err.field() + 1);
            ReadError::Csv {
                path: path.to_owned(),
                record,
                reason,
            }
        }
        _ => ReadError::Csv {
            path: path.to_owned(),
            record,
            reason,
        },
    }
}

fn function(record: &csv::StringRecord) -> Result<Function, String> {
    // lizard's extensions add columns after these.
    if record.len() < COLUMNS.len() {
        return Err(format!(
            "{} columns instead of {}",
            record.len(),
            COLUMNS.len()
        ));
    }
    let text = |column: usize| record[column].replace('\0', "\u{fffd}");
    let number = |column: usize| {
        let value = &record[column];
        value
            .trim()
            .parse::<u32>()
            .map_err(|error| format!("{} is {value:?}: {error}", COLUMNS[column]))
    };
    let file_path = source::normal_path(&record[6]);
    if file_path.is_empty() {
        return Err("no file name".to_owned());
    }
    Ok(Function {
        nloc: number(0)?,
        complexity: number(1)?,
        tokens: number(2)?,
        parameters: number(3)?,
        length: number(4)?,
        file_path,
        name: text(7),
        signature: text(8),
        start_line: number(9)?,
        end_line: number(10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{file, gzip};
    use super::*;

    const TWO: &str = "2,1,23,2,2,\"f@38-39@./a.py\",\"./a.py\",\"f\",\"f( x = \"\"q\"\" , y )\",38,39\n\
                       7,4,50,0,9,\"g@41-49@a.py\",\"a.py\",\"g\",\"g( )\",41,49\n";

    fn read_text(content: &str) -> Result<Vec<Function>, ReadError> {
        let (_folder, path) = file("functions.csv", content.as_bytes());
        read(&path)
    }

    #[test]
    fn functions_are_read_and_aggregated() {
        let functions = read_text(TWO).unwrap();
        assert_eq!(functions[0].signature, "f( x = \"q\" , y )");
        let files = by_file(&functions);
        assert_eq!(files.len(), 1);
        let expected = FileComplexity {
            functions: 2,
            nloc: 9,
            tokens: 73,
            total_complexity: 5,
            max_complexity: 4,
            average_complexity: 2.5,
            longest_function: Some("g".to_owned()),
            longest_function_length: 9,
        };
        assert_eq!(files["a.py"], expected);
    }

    #[test]
    fn no_functions_is_not_an_error_and_a_header_is_skipped() {
        assert_eq!(read_text("").unwrap(), []);
        assert_eq!(FileComplexity::of(&[]).average_complexity, 0.0);
        let header = "NLOC,CCN,token,PARAM,length,location,file,function,long_name,start,end\n";
        assert_eq!(read_text(&format!("{header}{TWO}")).unwrap().len(), 2);
    }

    #[test]
    fn columns_that_an_extension_has_added_are_ignored() {
        let more = TWO.replace('\n', ",3,\"x\"\n");
        assert_eq!(read_text(&more).unwrap(), read_text(TWO).unwrap());
    }

    #[test]
    fn the_error_of_an_invalid_record_has_its_number() {
        let reason = |content: &str| match read_text(content).unwrap_err() {
            ReadError::Csv { record, reason, .. } => (record, reason),
            other => panic!("{other}"),
        };
        assert_eq!(
            reason(&format!("{TWO}1,2,3\n")),
            (3, "3 columns instead of 11".to_owned())
        );
        assert_eq!(reason(&TWO.replace("7,4,", "7,many,")).0, 2);
        assert!(
            reason(&TWO.replace("7,4,", "7,-4,"))
                .1
                .starts_with("CCN is \"-4\": ")
        );
        assert_eq!(
            reason(&TWO.replace("\"./a.py\"", "\"\"")),
            (1, "no file name".to_owned())
        );

        let (_folder, path) = file("functions.csv", &[TWO.as_bytes(), b"\xff,1\n"].concat());
        assert!(matches!(
            read(&path).unwrap_err(),
            ReadError::Csv { record: 3, .. }
        ));
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let whole = gzip(TWO.as_bytes());
        let (_folder, path) = file("functions.csv.gz", &whole[..whole.len() - 9]);
        assert!(matches!(
            read(&path).unwrap_err(),
            ReadError::Truncated { .. }
        ));
    }
}
