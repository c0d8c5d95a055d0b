//! JSON source turned into canonical text, without a value in between.

use super::JsonError;
use super::fault::Fault;
use super::key::Key;
use super::members::Members;
use super::number::Number;
use super::source::{Kind, Source};
use super::text::Text;

/// Returns the canonical text of JSON source in Python's spelling.
///
/// It is what Python's `json.dumps(json.loads(source), sort_keys=True, ensure_ascii=False)` returns: `NaN` and
/// `Infinity` are read, integers keep all their digits, a float too large becomes `Infinity`, of equal keys
/// the last counts.
///
/// ```
/// use datacache_proto::json::canonicalize;
///
/// assert_eq!(canonicalize(r#"{"b": 1E400, "a": "\u00e6", "b": 1e2}"#)?, r#"{"a": "æ", "b": 100.0}"#);
/// let error = canonicalize("[1,\n 2,]").unwrap_err();
/// assert_eq!(error.to_string(), "invalid JSON, comma before the end at line 2, column 4");
/// # Ok::<(), datacache_proto::json::JsonError>(())
/// ```
///
/// # Errors
/// [`JsonError::Syntax`], also for what Python reads but cannot encode (half of a surrogate pair), for nesting deeper
/// than [`MAX_DEPTH`](super::MAX_DEPTH), and for a number with more than 4300 digits before its point (Python
/// refuses such integers, but not such floats).
pub fn canonicalize(source: &str) -> Result<String, JsonError> {
    let mut reader = Source::new(source);
    let mut text = Text::default();
    copy(&mut reader, &mut text).and_then(|()| reader.finish()).map_err(|fault| fault.explain(source))?;
    Ok(text.into_string())
}

fn copy(source: &mut Source<'_>, text: &mut Text) -> Result<(), Fault> {
    match source.kind()? {
        Kind::Null => {
            source.null()?;
            text.null();
        }
        Kind::Boolean => text.boolean(source.boolean()?),
        Kind::Number => match source.number()? {
            Number::Integer(digits) => text.raw(digits),
            Number::Float(value) => text.float(value),
        },
        Kind::Text => text.string(source.text()?),
        Kind::List => copy_list(source, text)?,
        Kind::Object => copy_object(source, text)?,
    }
    Ok(())
}

fn copy_list(source: &mut Source<'_>, text: &mut Text) -> Result<(), Fault> {
    text.open('[');
    let mut first = true;
    while source.item(first)? {
        if !first {
            text.raw(", ");
        }
        copy(source, text)?;
        first = false;
    }
    text.close(']');
    Ok(())
}

fn copy_object(source: &mut Source<'_>, text: &mut Text) -> Result<(), Fault> {
    let mut members = Members::open(text);
    let mut first = true;
    while let Some(key) = source.member(first)? {
        members.begin(text, Key::text(key.to_owned()));
        copy(source, text)?;
        first = false;
    }
    members.close(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::MAX_DEPTH;

    /// Pairs of source and what Python 3.11 makes of it: `json.dumps(json.loads(source), sort_keys=True, ensure_ascii=False)`.
    #[test]
    fn source_is_read_as_python_does() {
        let cases = [
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("1E400", "Infinity"),
            ("-1e400", "-Infinity"),
            ("1.7976931348623159e308", "Infinity"),
            ("1e5", "100000.0"),
            ("1.0E+2", "100.0"),
            ("0e5", "0.0"),
            ("1e-400", "0.0"),
            ("2.4703282292062328e-324", "5e-324"),
            ("2.4703282292062327e-324", "0.0"),
            ("9007199254740993.0", "9007199254740992.0"),
            ("0.1000000000000000055511151231257827021181583404541015625", "0.1"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("-170141183460469231731687303715884105729", "-170141183460469231731687303715884105729"),
            ("NaN", "NaN"),
            (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
            (r#"{"b":1,"a":1,"b":0}"#, r#"{"a": 1, "b": 0}"#),
            (r#"{"b":{"z":1,"y":2},"a":[],"b":{"y":[3],"x":{}}}"#, r#"{"a": [], "b": {"x": {}, "y": [3]}}"#),
            (r#""\ud83c\udf68""#, r#""🍨""#),
            (r#""\uD83C\uDF68\/""#, r#""🍨/""#),
            ("\"\u{7f}\"", "\"\u{7f}\""),
            (" \n[1 ,2]\r\t", "[1, 2]"),
        ];
        for (source, python) in cases {
            assert_eq!(canonicalize(source).as_deref(), Ok(python), "{source}");
        }
    }

    #[test]
    fn what_python_refuses_is_refused_with_its_place() {
        let cases = [
            ("", "unexpected end of a value", (1, 1)),
            (" \n ", "unexpected end of a value", (2, 2)),
            ("-NaN", "malformed number", (1, 2)),
            ("+1", "expected a value", (1, 1)),
            (".5", "expected a value", (1, 1)),
            ("1.", "unexpected end of a value", (1, 3)),
            ("1.e5", "malformed number", (1, 3)),
            ("01", "malformed number", (1, 2)),
            ("nan", "misspelled word", (1, 2)),
            ("True", "expected a value", (1, 1)),
            ("[nul]", "misspelled word", (1, 5)),
            ("\"é\t\"", "unescaped control character", (1, 3)),
            ("\"\\x41\"", "unknown escape", (1, 3)),
            ("\u{feff}1", "expected a value", (1, 1)),
            ("\u{b}1", "expected a value", (1, 1)),
            ("[1,\n2,]", "comma before the end", (2, 3)),
            ("[1 2]", "expected ',' or ']'", (1, 4)),
            ("{\"a\":1 \"b\":2}", "expected ',' or '}'", (1, 8)),
            ("{\"a\" 1}", "expected ':'", (1, 6)),
            ("{1:1}", "expected a key in double quotes", (1, 2)),
            ("{\"a\":1,}", "comma before the end", (1, 8)),
            ("1 2", "more text after the value", (1, 3)),
            ("[1", "unexpected end of a list", (1, 3)),
            ("{\"a\":1", "unexpected end of an object", (1, 7)),
            ("\"a", "unexpected end of a text", (1, 3)),
        ];
        for (source, reason, (line, column)) in cases {
            let Err(JsonError::Syntax { reason: found, at }) = canonicalize(source) else {
                panic!("{source:?} should be refused");
            };
            assert_eq!((found, at.line, at.column), (reason, line, column), "{source:?}");
        }
    }

    /// Python reads them, but cannot encode what it read.
    #[test]
    fn half_of_a_surrogate_pair_is_refused() {
        for text in [r"\ud800", r"\udc00", r"\udc00\ud800", r"\ud800\ud800", r"\ud800x", r"\ud800\n", r"\ud83cA"] {
            for source in [format!("\"{text}\""), format!("{{\"{text}\": 1}}")] {
                let error = canonicalize(&source).unwrap_err();
                assert!(error.to_string().contains("half of a surrogate pair"), "{source}: {error}");
            }
        }
    }

    #[test]
    fn integers_have_at_most_as_many_digits_as_python_allows() {
        for sign in ["", "-"] {
            let longest = format!("{sign}{}", "9".repeat(4300));
            assert_eq!(canonicalize(&longest), Ok(longest.clone()));
            let error = canonicalize(&format!("[{longest}9]")).unwrap_err();
            assert!(error.to_string().contains("4300 digits"), "{error}");
        }
    }

    #[test]
    fn nesting_is_bounded_and_never_overflows_the_stack() {
        let nested = |open: &str, close: &str, depth| open.repeat(depth) + "0" + &close.repeat(depth);
        let deepest = nested("[", "]", MAX_DEPTH);
        assert_eq!(canonicalize(&deepest), Ok(deepest.clone()));
        let deepest = nested("{\"a\": ", "}", MAX_DEPTH);
        assert_eq!(canonicalize(&deepest), Ok(deepest.clone()));
        for open in ["[", "{\"a\":", "[{\"a\":"] {
            let error = canonicalize(&open.repeat(1 << 20)).unwrap_err();
            assert!(error.to_string().contains("nested deeper"), "{error}");
        }
    }
}
