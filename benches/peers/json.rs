//! Flat JSON objects of numbers and texts, one a line: what the child processes say and what the
//! results file holds.

use std::collections::BTreeMap;
use std::fmt::Write;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Number(f64),
    Text(String),
}

/// One object. Fields come out in alphabetical order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    fields: BTreeMap<String, Field>,
}

impl Record {
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.fields.insert(name.to_owned(), Field::Number(value));
    }

    pub(crate) fn set_text(&mut self, name: &str, text: &str) {
        self.fields.insert(name.to_owned(), Field::Text(text.to_owned()));
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        match self.fields.get(name) {
            Some(Field::Number(value)) => Some(*value),
            _ => None,
        }
    }

    /// The text of a field, or "".
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.fields.get(name) {
            Some(Field::Text(text)) => text,
            _ => "",
        }
    }

    pub(crate) fn line(&self) -> String {
        let mut line = String::from("{");
        for (index, (name, field)) in self.fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(line, "{comma}{}:", quoted(name));
            match field {
                Field::Number(value) if value.is_finite() => {
                    let _ = write!(line, "{value}");
                }
                Field::Number(_) => line.push_str("null"),
                Field::Text(text) => line.push_str(&quoted(text)),
            }
        }
        line.push('}');
        line
    }

    /// Reads what [`Record::line`] wrote; null fields are left out.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut rest = line.trim().strip_prefix('{')?.strip_suffix('}')?;
        let mut record = Self::default();
        while !rest.is_empty() {
            let (name, behind) = unquoted(rest)?;
            rest = behind.strip_prefix(':')?;
            if rest.starts_with('"') {
                let (text, behind) = unquoted(rest)?;
                record.fields.insert(name, Field::Text(text));
                rest = behind;
            } else {
                let end = rest.find(',').unwrap_or(rest.len());
                if &rest[..end] != "null" {
                    record.fields.insert(name, Field::Number(rest[..end].parse().ok()?));
                }
                rest = &rest[end..];
            }
            rest = if rest.is_empty() { rest } else { rest.strip_prefix(',')? };
        }
        Some(record)
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if u32::from(char) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// The text that `input` begins with, and what follows.
fn unquoted(input: &str) -> Option<(String, &str)> {
    let inner = input.strip_prefix('"')?;
    let mut text = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((text, &inner[at + 1..])),
            '\\' => match chars.next()? {
                (at, 'u') => {
                    let code = u32::from_str_radix(inner.get(at + 1..at + 5)?, 16).ok()?;
                    text.push(char::from_u32(code)?);
                    chars.nth(3)?;
                }
                (_, char) => text.push(char),
            },
            char => text.push(char),
        }
    }
    None
}
