//! Documents as YAML: block style, every string that could be anything else quoted as in JSON.
//!
//! Only what JSON can say is ever written, so this is all of YAML that is needed.

use std::io::{self, Write};

use serde_json::Value;

/// Words that some readers of YAML take for something else than text.
const RESERVED: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];

pub(super) fn write(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    match value {
        Value::Object(_) | Value::Array(_) if !is_empty(value) => block(out, value, 0),
        _ => writeln!(out, "{}", scalar(value)),
    }
}

/// One element of a list that is written piece by piece.
pub(super) fn write_element(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    element(out, value, 0)
}

fn block(out: &mut dyn Write, value: &Value, indent: usize) -> io::Result<()> {
    match value {
        Value::Object(fields) => {
            for (index, (name, value)) in fields.iter().enumerate() {
                // The first field stands behind its list's dash.
                if index > 0 || indent == 0 {
                    write!(out, "{:indent$}", "")?;
                }
                field(out, name, value, indent)?;
            }
            Ok(())
        }
        Value::Array(values) => values.iter().try_for_each(|value| element(out, value, indent)),
        _ => writeln!(out, "{}", scalar(value)),
    }
}

fn field(out: &mut dyn Write, name: &str, value: &Value, indent: usize) -> io::Result<()> {
    let name = text(name);
    match value {
        Value::Object(_) if !is_empty(value) => {
            writeln!(out, "{name}:")?;
            write!(out, "{:width$}", "", width = indent + 2)?;
            block(out, value, indent + 2)
        }
        Value::Array(_) if !is_empty(value) => {
            writeln!(out, "{name}:")?;
            block(out, value, indent)
        }
        Value::String(string) if is_text(string) => {
            writeln!(out, "{name}: {}", text_head(string))?;
            lines(out, string, indent + 2)
        }
        _ => writeln!(out, "{name}: {}", scalar(value)),
    }
}

fn element(out: &mut dyn Write, value: &Value, indent: usize) -> io::Result<()> {
    write!(out, "{:indent$}- ", "")?;
    match value {
        Value::Object(_) if !is_empty(value) => block(out, value, indent + 2),
        Value::String(string) if is_text(string) => {
            writeln!(out, "{}", text_head(string))?;
            lines(out, string, indent + 2)
        }
        // A list in a list: rare enough to be written in one line.
        _ => writeln!(out, "{}", scalar(value)),
    }
}

/// Whether a string is lines that can stand as they are: whatever a reader of YAML might take for something else is quoted.
fn is_text(string: &str) -> bool {
    let is_shown = |c: char| {
        c == '\n' || !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
    };
    string.contains('\n')
        && !string.starts_with([' ', '\n'])
        && !string.ends_with("\n\n")
        && string.chars().all(is_shown)
        && string.lines().all(|line| !line.ends_with(' '))
}

/// Says whether the last line ends with a line break.
fn text_head(string: &str) -> &'static str {
    if string.ends_with('\n') { "|" } else { "|-" }
}

fn lines(out: &mut dyn Write, string: &str, indent: usize) -> io::Result<()> {
    for line in string.lines() {
        if line.is_empty() { writeln!(out)? } else { writeln!(out, "{:indent$}{line}", "")? }
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        _ => value.to_string(),
    }
}

fn text(string: &str) -> String {
    let is_plain = string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && string.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-'))
        && !RESERVED.contains(&string.to_ascii_lowercase().as_str());
    if is_plain { string.to_owned() } else { Value::from(string).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_written_in_block_style_and_doubtful_strings_are_quoted() {
        let value = serde_json::json!({
            "a": {"b": 1, "c": ["x", "no", {"d": "e: f", "g": true}], "h": {}},
            "f.conf": "a = 1\n\n  b: 2\n", "f2": ["x\ny", "tail \nx"],
            "i": [], "j": null, "k": "2026-01-01T00:00:00Z", "l": "tab\there", "m": [[1, 2]],
        });
        let mut out = Vec::new();
        write(&mut out, &value).unwrap();
        let expected = r#"a:
  b: 1
  c:
  - x
  - "no"
  - d: "e: f"
    g: true
  h: {}
f.conf: |
  a = 1

    b: 2
f2:
- |-
  x
  y
- "tail \nx"
i: []
j: null
k: "2026-01-01T00:00:00Z"
l: "tab\there"
m:
- [1,2]
"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
