//! One event's text in, the declared fields that it has out.

use super::scan::{Kind, Scanner, SyntaxError, Value};
use super::text::unescape;
use crate::sql::types::Column;

/// A declared field of the event at hand.
pub(super) struct Field {
    pub(super) column: usize,
    pub(super) value: Value,
}

/// Finds declared fields; keeps its buffers from event to event.
pub(super) struct Fields {
    /// The declared names and their columns, by the length of the name: few names share one, so that a name is found,
    /// or found to be undeclared, with about one comparison.
    by_length: Vec<Vec<(Box<str>, usize)>>,
    found: Vec<Field>,
    seen: Vec<bool>,
    unescaped_name: String,
}

impl Fields {
    pub(super) fn new(columns: &[Column]) -> Self {
        let longest = columns
            .iter()
            .map(|column| column.name.len())
            .max()
            .unwrap_or_default();
        let mut by_length = vec![Vec::new(); longest + 1];
        for (index, column) in columns.iter().enumerate() {
            by_length[column.name.len()].push((column.name.as_str().into(), index));
        }
        Self {
            by_length,
            found: Vec::with_capacity(columns.len()),
            seen: vec![false; columns.len()],
            unescaped_name: String::new(),
        }
    }

    /// The fields of the event read last, in the order in which they stand in it.
    pub(super) fn found(&self) -> &[Field] {
        &self.found
    }

    /// Checks the whole event's syntax and finds its declared fields.
    ///
    /// Returns the first column that stands in the event twice, if any does.
    pub(super) fn read(&mut self, text: &str) -> Result<Option<usize>, SyntaxError> {
        self.found.clear();
        self.seen.fill(false);
        let mut twice = None;
        let mut scanner = Scanner::new(text);
        let mut more = scanner.open_object()?;
        while more {
            let name = scanner.name()?;
            let value = scanner.value()?;
            if let Some(column) = self.column(text, &name) {
                if std::mem::replace(&mut self.seen[column], true) {
                    twice = twice.or(Some(column));
                }
                self.found.push(Field { column, value });
            }
            more = scanner.next_member()?;
        }
        scanner.end()?;
        Ok(twice)
    }

    fn column(&mut self, text: &str, name: &Value) -> Option<usize> {
        let written = &text[name.span.start + 1..name.span.end - 1];
        if name.kind == Kind::PlainString {
            return self.declared(written);
        }
        self.unescaped_name.clear();
        // No declared name holds half a character.
        unescape(written, &mut self.unescaped_name).ok()?;
        self.declared(&self.unescaped_name)
    }

    fn declared(&self, name: &str) -> Option<usize> {
        let candidates = self.by_length.get(name.len())?;
        candidates
            .iter()
            .find(|(declared, _)| **declared == *name)
            .map(|(_, column)| *column)
    }
}
