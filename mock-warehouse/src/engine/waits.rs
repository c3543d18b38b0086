//! Which session holds which table's lock, and which waits for one: where two wait for each other, the one that came last is told.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    /// Table -> the session that locked it last; it matters only while the lock is taken.
    holders: HashMap<u64, u64>,
    /// Session -> the table that it waits for.
    waiting: HashMap<u64, u64>,
}

impl Waits {
    /// Notes that the session begins to wait for the table; false when it would wait for itself, by way of others.
    pub(crate) fn begin(&self, session: u64, table: u64) -> bool {
        let mut book = self.book();
        let mut wanted = Some(table);
        // Holders of locks that are free by now may look like a circle of their own, so the walk is bounded.
        for _ in 0..=book.waiting.len() {
            let holder = wanted.and_then(|table| book.holders.get(&table));
            if holder == Some(&session) {
                return false;
            }
            wanted = holder.and_then(|holder| book.waiting.get(holder)).copied();
        }
        book.waiting.insert(session, table);
        true
    }

    /// The session does not wait any more.
    pub(crate) fn end(&self, session: u64) {
        self.book().waiting.remove(&session);
    }

    /// The session has locked the table.
    pub(crate) fn holds(&self, session: u64, table: u64) {
        self.book().holders.insert(table, session);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
