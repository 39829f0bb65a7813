//! Wraps comments and documents at 100 columns.
//!
//! A paragraph is filled again only if one of its lines is too long. Tables, headings, code, link
//! definitions and lines of a single word stay as they are.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The longest line of prose, in columns.
const WIDTH: usize = 100;

/// Folders whose files are copies of foreign texts, or in which line numbers are expected.
const EXCEPT: [&str; 3] = ["tests/data/", "tests/ui/", "migrations/"];

/// The places of a file's prose.
#[derive(Clone, Copy)]
enum Prose {
    /// The whole file is Markdown.
    Markdown,
    /// Comments that begin with one of these, the longest first.
    Comments(&'static [&'static str]),
}

fn prose_of(file: &str) -> Option<Prose> {
    let name = file.rsplit('/').next().unwrap_or(file);
    if EXCEPT.iter().any(|folder| file.starts_with(folder)) {
        return None;
    }
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("md") => Some(Prose::Markdown),
        Some("rs") => Some(Prose::Comments(&["///", "//!", "//"])),
        Some("toml" | "sh" | "yml") => Some(Prose::Comments(&["#"])),
        None if file.starts_with(".ci/") => Some(Prose::Comments(&["#"])),
        _ => None,
    }
}

/// Wraps all files of the repository, or fails if one of them is not wrapped.
pub fn run(root: &Path, is_check: bool) -> Result<(), String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    let mut wrong = Vec::new();
    for file in String::from_utf8_lossy(&listed.stdout).lines() {
        let Some(prose) = prose_of(file) else {
            continue;
        };
        // A file that was deleted is listed until that is committed.
        let Ok(text) = fs::read_to_string(root.join(file)) else {
            continue;
        };
        let wrapped = wrap(&text, prose);
        if wrapped == text {
            continue;
        }
        if !is_check {
            fs::write(root.join(file), wrapped).map_err(|error| format!("{file}: {error}"))?;
        }
        wrong.push(file.to_owned());
    }
    if is_check && !wrong.is_empty() {
        return Err(format!(
            "lines of prose are longer than {WIDTH} columns; cargo xtask wrap wraps them:\n{}",
            wrong.join("\n")
        ));
    }
    for file in wrong {
        println!("wrapped {file}");
    }
    Ok(())
}

fn wrap(text: &str, prose: Prose) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let wrapped = match prose {
        Prose::Markdown => wrap_markdown(&lines, WIDTH),
        Prose::Comments(marks) => wrap_comments(&lines, marks),
    };
    let mut wrapped = wrapped.join("\n");
    if text.ends_with('\n') {
        wrapped.push('\n');
    }
    wrapped
}

/// Returns the part of a line before the text of a comment: the indentation and the mark.
fn start_of<'l>(line: &'l str, marks: &[&str]) -> Option<&'l str> {
    let indent = line.len() - line.trim_start().len();
    let mark = marks
        .iter()
        .find(|mark| line[indent..].starts_with(*mark))?;
    let start = indent + mark.len();
    let is_comment = line.len() == start || line[start..].starts_with(' ');
    is_comment.then(|| &line[..start])
}

fn wrap_comments(lines: &[&str], marks: &[&str]) -> Vec<String> {
    let mut wrapped = Vec::new();
    let mut rest = lines;
    while let Some(first) = rest.first() {
        let Some(start) = start_of(first, marks) else {
            wrapped.push((*first).to_owned());
            rest = &rest[1..];
            continue;
        };
        let is_same = |line: &&&str| start_of(line, marks) == Some(start);
        let length = rest.iter().take_while(is_same).count();
        let texts: Vec<&str> = rest[..length]
            .iter()
            .map(|line| &line[start.len()..])
            .collect();
        // The text of a comment begins after one space.
        let texts: Vec<&str> = texts
            .iter()
            .map(|text| text.strip_prefix(' ').unwrap_or(text))
            .collect();
        let width = WIDTH.saturating_sub(start.chars().count() + 1);
        for text in wrap_markdown(&texts, width) {
            wrapped.push(format!("{start} {text}").trim_end().to_owned());
        }
        rest = &rest[length..];
    }
    wrapped
}

/// A paragraph: its lines, and what stands before the first and before the others.
struct Paragraph<'l> {
    lines: Vec<&'l str>,
    first: String,
    others: String,
}

impl Paragraph<'_> {
    fn finish(self, width: usize, wrapped: &mut Vec<String>) {
        let is_long = |line: &&str| line.chars().count() > width;
        let breaks = |line: &&str| line.ends_with("  ") || line.ends_with('\\');
        if !self.lines.iter().any(is_long) || self.lines.iter().any(breaks) {
            wrapped.extend(self.lines.iter().map(|&line| line.to_owned()));
            return;
        }
        let text = self.lines.join(" ");
        // The first word is the mark of a list's item, if there is one.
        let words = words_of(&text[self.first.len()..]);
        let mut line: Vec<&str> = Vec::new();
        let mut before = self.first.as_str();
        for word in words.iter().map(String::as_str) {
            let length: usize = line.iter().map(|word| word.chars().count() + 1).sum();
            if line.is_empty() || before.chars().count() + length + word.chars().count() <= width {
                line.push(word);
                continue;
            }
            // A line that began with this word would be a list or a heading.
            let kept = match line.pop() {
                Some(last) if is_mark(word) && !line.is_empty() => vec![last, word],
                Some(last) => {
                    line.push(last);
                    vec![word]
                }
                None => vec![word],
            };
            wrapped.push(format!("{before}{}", line.join(" ")));
            before = self.others.as_str();
            line = kept;
        }
        wrapped.push(format!("{before}{}", line.join(" ")));
    }
}

/// Splits a text into words. Code between backticks is one word with what it touches.
fn words_of(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut in_code = false;
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(last) if in_code => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
        in_code ^= word.matches('`').count() % 2 == 1;
    }
    if in_code {
        return text.split_whitespace().map(str::to_owned).collect();
    }
    words
}

/// Checks whether Markdown gives a meaning to this word at the beginning of a line.
fn is_mark(word: &str) -> bool {
    let number = word.trim_end_matches(['.', ')']);
    matches!(word, "-" | "+" | "*")
        || word.starts_with(['#', '>', '|', '<'])
        || word.starts_with("```")
        || word.chars().all(|character| "=-".contains(character))
        || (number.len() < word.len() && number.chars().all(|digit| digit.is_ascii_digit()))
}

/// Returns the length of an item's mark with the space after it: `- ` or `12. `.
fn mark_of(text: &str) -> Option<usize> {
    let word = text.split(' ').next().unwrap_or_default();
    let is_item = matches!(word, "-" | "+" | "*")
        || (is_mark(word) && word.starts_with(|character: char| character.is_ascii_digit()));
    (is_item && text.len() > word.len()).then(|| {
        let spaces = text[word.len()..].len() - text[word.len()..].trim_start().len();
        word.len() + spaces
    })
}

fn is_kept(text: &str) -> bool {
    let is_definition = text.starts_with('[') && text.contains("]: ");
    is_definition
        || text.starts_with(['|', '#', '<', '>'])
        || text.chars().all(|character| "=-".contains(character))
}

fn wrap_markdown(lines: &[&str], width: usize) -> Vec<String> {
    let mut wrapped = Vec::new();
    let mut fence: Option<&str> = None;
    let mut paragraph: Option<Paragraph<'_>> = None;
    let mut in_list = false;
    for &line in lines {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let opened = ["```", "~~~"]
            .into_iter()
            .find(|mark| text.starts_with(mark));
        let is_in_code = fence.is_some();
        match (fence, opened) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(mark), Some(other)) if mark == other => fence = None,
            _ => {}
        }
        let is_indented_code = indent >= 4 && paragraph.is_none() && !in_list;
        let is_verbatim = is_in_code || opened.is_some() || is_indented_code || is_kept(text);
        if let Some(current) = paragraph.take() {
            let goes_on = !is_verbatim
                && !text.is_empty()
                && mark_of(text).is_none()
                && indent == current.others.len();
            if goes_on {
                let mut lines = current.lines;
                lines.push(line);
                paragraph = Some(Paragraph { lines, ..current });
                continue;
            }
            current.finish(width, &mut wrapped);
        }
        if is_verbatim || text.is_empty() {
            wrapped.push(line.to_owned());
            continue;
        }
        let mark = mark_of(text).unwrap_or(0);
        in_list = mark > 0 || (in_list && indent > 0);
        paragraph = Some(Paragraph {
            lines: vec![line],
            first: line[..indent + mark].to_owned(),
            others: " ".repeat(indent + mark),
        });
    }
    if let Some(current) = paragraph {
        current.finish(width, &mut wrapped);
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(text: &str, width: usize) -> String {
        let lines: Vec<&str> = text.lines().collect();
        wrap_markdown(&lines, width).join("\n")
    }

    #[test]
    fn a_paragraph_with_a_long_line_is_filled_again() {
        assert_eq!(
            markdown("one two three four\nfive", 10),
            "one two\nthree four\nfive"
        );
        assert_eq!(markdown("one\ntwo", 10), "one\ntwo");
        assert_eq!(markdown("one `a >= b` two", 10), "one\n`a >= b`\ntwo");
        assert_eq!(
            markdown("an_url_that_is_long two", 10),
            "an_url_that_is_long\ntwo"
        );
    }

    #[test]
    fn items_keep_their_indentation() {
        assert_eq!(
            markdown(
                "- one two three\n- four\n  five six seven\n12. eight nine",
                10
            ),
            "- one two\n  three\n- four\n  five six\n  seven\n12. eight\n    nine"
        );
    }

    #[test]
    fn tables_headings_code_and_definitions_stay() {
        for text in [
            "| one two three four |",
            "# one two three four",
            "```\none two three four\n```",
            "    one two three four",
            "[one]: two three four",
            "one two three four  \nfive",
        ] {
            assert_eq!(markdown(text, 10), text);
        }
    }

    #[test]
    fn no_line_begins_with_a_word_that_markdown_would_take_for_a_mark() {
        assert_eq!(
            markdown("one two three - four", 14),
            "one two\nthree - four"
        );
        assert_eq!(
            markdown("one two three #4 five", 14),
            "one two\nthree #4 five"
        );
        assert_eq!(
            markdown("one two is 15. Three", 11),
            "one two\nis 15.\nThree"
        );
    }

    #[test]
    fn comments_keep_their_indentation_and_mark() {
        let long = "word ".repeat(30);
        let code = format!(
            "    /// {}\n    /// - {}\n    fn f() {{}} // {long}\n",
            long.trim(),
            long.trim()
        );
        let wrapped = wrap(&code, Prose::Comments(&["///", "//!", "//"]));
        let lines: Vec<&str> = wrapped.lines().collect();
        assert_eq!(lines.len(), 5, "{wrapped}");
        assert!(
            lines[..2]
                .iter()
                .all(|line| line.starts_with("    /// word"))
        );
        assert!(lines[2].starts_with("    /// - word") && lines[3].starts_with("    ///   word"));
        assert!(lines[..4].iter().all(|line| line.len() <= WIDTH));
        assert!(lines[4].len() > WIDTH, "a comment after code stays");
        assert_eq!(
            wrap(&wrapped, Prose::Comments(&["///", "//!", "//"])),
            wrapped
        );
    }
}
