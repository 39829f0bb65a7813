use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Document, Fields, Json};

fn document(text: &str) -> Document {
    text.parse().unwrap()
}

#[test]
fn a_document_keeps_its_text() {
    for text in [
        "null",
        "[1.10, 1e400, 12345678901234567890123, -0.0, 51.248178375505404]",
        r#"{"a": {"b": [true, "\u00e9\ud83e\udd80\"\\"]}, "c": {}}"#,
    ] {
        assert_eq!(document(text).text(), text);
        let json = serde_json::to_string(&[document(text)]).unwrap();
        assert_eq!(json, format!("[{text}]"));
        let back: Vec<Document> = serde_json::from_str(&json).unwrap();
        assert_eq!(back[0].text(), text);
    }
    for text in ["", "{", "[1] 2", "'a'", "01", "nan"] {
        assert!(text.parse::<Document>().is_err(), "{text}");
    }
}

#[test]
fn any_depth_is_read_and_a_bounded_one_is_written() {
    let nested = |depth: usize| {
        let mut value = json!({});
        for level in 1..depth {
            value = if level % 2 == 0 {
                json!({ "a": value })
            } else {
                json!([0, value])
            };
        }
        Document::from(value)
    };
    assert_eq!(nested(Document::MAX_DEPTH).objection(), None);
    assert!(nested(Document::MAX_DEPTH).value().is_ok());
    for depth in [Document::MAX_DEPTH + 1, 127, 128, 1_000] {
        assert!(
            nested(depth)
                .objection()
                .unwrap()
                .contains("deeper than 100")
        );
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = document(&deep);
    assert_eq!(deep, deep.clone());
    assert!(deep.value().is_err() && deep.objection().is_some());
    assert_eq!(deep.elements().unwrap().len(), 1);
}

#[test]
fn documents_with_the_same_value_are_equal() {
    for (one, other) in [
        ("[1, 2]", "[1,2]"),
        ("1.10", "11e-1"),
        ("0", "-0.00e7"),
        ("100", "1E+2"),
        (
            r#"{"bb": 1, "a": [{"c": null}]}"#,
            r#"{"a":[{"c":null}],"bb":1.0}"#,
        ),
        (r#"{"a": 1, "a": 2}"#, r#"{"a": 2}"#),
        (r#""\u00e9\/""#, r#""é/""#),
    ] {
        assert_eq!(document(one), document(other));
    }
    for (one, other) in [
        ("12345678901234567890123", "12345678901234567890124"),
        ("1e400", "1e401"),
        ("[1]", "[[1]]"),
        ("[]", "{}"),
        (r#""1""#, "1"),
        (r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#),
        ("-1", "1"),
    ] {
        assert_ne!(document(one), document(other));
    }
    assert_eq!(document(r#"{"a": [1.50]}"#), json!({"a": [1.5]}));
}

#[test]
fn a_document_that_postgresql_cannot_store_is_rejected_with_a_reason() {
    for (text, reason) in [
        (r#"["\u0000"]"#, "U+0000"),
        (r#"{"a\u0000": 1}"#, "U+0000"),
        (r#"["\ud800"]"#, "half"),
        (r#"["\udc00\ud800"]"#, "half"),
        (r#"["\ud800\n"]"#, "half"),
        ("[1e131072]", "131072"),
        ("[-1e99999999999999999999]", "131072"),
        ("[1e-16384]", "16383"),
    ] {
        let objection = document(text).objection().unwrap_or_default();
        assert!(objection.contains(reason), "{text}: {objection}");
    }
    for text in [
        r#"["\\u0000", "\\\\u0000\"", "\ud83e\udd80", "\\ud800"]"#,
        "[1e131071, 1e-16383, 1e400]",
        "[0e999999999]",
        "true",
    ] {
        assert_eq!(document(text).objection(), None, "{text}");
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Buffered {
    Row {
        at: Document,
        maybe: Option<Document>,
    },
}

#[test]
fn buffered_and_tree_deserialization_yield_the_same_document() {
    let at = document(r#"{"n": [1, -2.5, null, {"a": ["b"]}]}"#);
    let row = Buffered::Row {
        at: at.clone(),
        maybe: None,
    };
    let tree = serde_json::to_value(&row).unwrap();
    assert_eq!(tree["at"]["n"][1], json!(-2.5));
    assert_eq!(
        serde_json::from_value::<Buffered>(tree.clone()).unwrap(),
        row
    );
    // serde buffers the fields, since the tag determines their type.
    assert_eq!(
        serde_json::from_str::<Buffered>(&tree.to_string()).unwrap(),
        row
    );
    let fields: Fields = serde_json::from_str(r#"{"a": 1.10, "b": [2]}"#).unwrap();
    assert_eq!(fields["a"].text(), "1.10");
    assert_eq!(
        serde_json::to_string(&fields).unwrap(),
        r#"{"a":1.10,"b":[2]}"#
    );
}

#[test]
fn a_field_is_read_as_the_requested_type() {
    let whole = document(r#"{"a": 1, "b": null, "c": {"d": [1.10]}}"#);
    assert_eq!(whole.field::<u8>("a").unwrap(), Some(1));
    assert_eq!(whole.field::<u8>("b").unwrap(), None);
    assert_eq!(whole.field::<u8>("z").unwrap(), None);
    assert!(whole.field::<bool>("a").is_err());
    let inner = whole.get("c").and_then(|inner| inner.get("d")).unwrap();
    assert_eq!(inner.elements().unwrap()[0].text(), "1.10");
    assert_eq!(document("[1]").get("a"), None);
    assert_eq!(Value::Null, Document::default());
}

#[test]
fn a_typed_document_with_a_number_that_json_lacks_or_a_field_twice_is_rejected() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let shaped = Json::Typed(vec![Some(number)]);
        assert!(shaped.objection().unwrap().contains("JSON does not have"));
        assert!(Document::of(&[("a", number)]).is_err());
    }
    let mut summary = crate::AnalysisSummary::scored(1.0);
    summary
        .extra
        .insert("overallScore".to_owned(), json!(2).into());
    assert!(
        Json::Typed(summary)
            .objection()
            .unwrap()
            .contains("\"overallScore\" twice")
    );
}
