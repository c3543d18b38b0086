//! JSON text in, the places of its values out: RFC 8259 checked in one pass, without recursion and without a tree.

use std::ops::Range;

/// The deepest nesting that is read; the outer object is level 1.
const MOST_LEVELS: u32 = 128;

const TOO_DEEP: &str = "nesting deeper than 128 levels";

/// What stands where it should not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// The byte it was found at, counted from 0.
    pub(super) at: usize,
    pub(super) what: &'static str,
}

type Scanned<T> = Result<T, SyntaxError>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    Number,
    /// A string without escapes: what is between the quotes is the value.
    PlainString,
    EscapedString,
    /// An object or an array.
    Nested,
}

/// A value's kind and the bytes it was written with, a string's quotes included.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// A reader of JSON text that moves forward only.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// `text` is UTF-8 by its type, so the scanner need not look at bytes above 127.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            at: 0,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn error<T>(&self, what: &'static str) -> Scanned<T> {
        Err(SyntaxError { at: self.at, what })
    }

    /// Moves past `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Opens the outer object; true if it has members.
    pub(super) fn open_object(&mut self) -> Scanned<bool> {
        if self.bytes.starts_with(b"\xEF\xBB\xBF") {
            return self.error("a byte order mark");
        }
        self.skip_space();
        if self.at == self.bytes.len() {
            return self.error("an empty value");
        }
        if !self.take(b'{') {
            return self.error("an object must begin with `{`");
        }
        self.skip_space();
        Ok(!self.take(b'}'))
    }

    /// Goes on after a member's value; true if another member follows.
    pub(super) fn next_member(&mut self) -> Scanned<bool> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(b'}') => {
                self.at += 1;
                Ok(false)
            }
            _ => self.error("a `,` or `}` is missing"),
        }
    }

    /// Nothing but space may follow.
    pub(super) fn end(&mut self) -> Scanned<()> {
        self.skip_space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            self.error("more text after the object")
        }
    }

    /// Reads a member's name and the colon after it.
    pub(super) fn name(&mut self) -> Scanned<Value> {
        if self.peek() != Some(b'"') {
            return self.error("a field name in quotes is missing");
        }
        let name = self.string()?;
        self.skip_space();
        if !self.take(b':') {
            return self.error("a `:` is missing");
        }
        self.skip_space();
        Ok(name)
    }

    /// Reads a value at level 2, the level of the outer object's members.
    pub(super) fn value(&mut self) -> Scanned<Value> {
        match self.peek() {
            Some(b'{' | b'[') => {
                let start = self.at;
                self.nested()?;
                Ok(Value {
                    kind: Kind::Nested,
                    span: start..self.at,
                })
            }
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Scanned<Value> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Kind::True),
            Some(b'f') => self.word("false", Kind::False),
            Some(b'n') => self.word("null", Kind::Null),
            _ => self.error("a value is missing"),
        }
    }

    fn word(&mut self, word: &str, kind: Kind) -> Scanned<Value> {
        let span = self.at..self.at + word.len();
        if self.bytes.get(span.clone()) != Some(word.as_bytes()) {
            return self.error("not a value");
        }
        self.at = span.end;
        Ok(Value { kind, span })
    }

    fn number(&mut self) -> Scanned<Value> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Value {
            kind: Kind::Number,
            span: start..self.at,
        })
    }

    fn digits(&mut self) -> Scanned<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            self.error("a digit is missing")
        }
    }

    fn string(&mut self) -> Scanned<Value> {
        let start = self.at;
        let mut kind = Kind::PlainString;
        self.at += 1;
        loop {
            self.at = end_of_plain_text(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Value {
                        kind,
                        span: start..self.at,
                    });
                }
                Some(b'\\') => {
                    kind = Kind::EscapedString;
                    self.escape()?;
                }
                Some(_) => return self.error("a control character in a string"),
                None => return self.error("a string without an end"),
            }
        }
    }

    fn escape(&mut self) -> Scanned<()> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.bytes.get(self.at + 2..self.at + 6) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => {
                    self.at += 6;
                    Ok(())
                }
                _ => self.error("`\\u` without four hexadecimal digits"),
            },
            _ => self.error("an unknown escape in a string"),
        }
    }

    /// Reads an object or array at level 2 with all that is in it.
    fn nested(&mut self) -> Scanned<()> {
        let mut open = Levels {
            depth: 1,
            objects: 0,
        };
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if open.depth == MOST_LEVELS {
                        return self.error(TOO_DEEP);
                    }
                    open.push(bracket);
                    self.at += 1;
                    self.skip_space();
                    if self.take(open.closing()) {
                        open.pop();
                    } else {
                        self.member_name(&open)?;
                        continue;
                    }
                }
                _ => {
                    self.scalar()?;
                }
            }
            if self.close(&mut open)? {
                return Ok(());
            }
            self.member_name(&open)?;
        }
    }

    /// After a value inside a nested one: closes what ends here. True when all is closed, else a next value follows.
    fn close(&mut self, open: &mut Levels) -> Scanned<bool> {
        while open.depth > 1 {
            self.skip_space();
            if self.take(b',') {
                self.skip_space();
                return Ok(false);
            }
            if !self.take(open.closing()) {
                return self.error("a `,` or a closing bracket is missing");
            }
            open.pop();
        }
        Ok(true)
    }

    fn member_name(&mut self, open: &Levels) -> Scanned<()> {
        if open.in_object() {
            self.name().map(drop)
        } else {
            Ok(())
        }
    }
}

/// The brackets that are open, as bits: 1 for an object, 0 for an array, the innermost lowest.
struct Levels {
    depth: u32,
    objects: u128,
}

impl Levels {
    fn push(&mut self, bracket: u8) {
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(bracket == b'{');
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn closing(&self) -> u8 {
        if self.in_object() { b'}' } else { b']' }
    }
}

/// The first place from `at` on where a quote, a backslash or a control character stands, or the end.
///
/// Looks at eight bytes at once: <https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord>. Its mask may be
/// wrong above the lowest byte that is marked, and only that byte is used.
pub(in crate::sql) fn end_of_plain_text(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    const QUOTES: u64 = ONES * b'"' as u64;
    const BACKSLASHES: u64 = ONES * b'\\' as u64;
    const SPACES: u64 = ONES * b' ' as u64;
    let below = |word: u64, limit: u64| word.wrapping_sub(limit) & !word & HIGHS;

    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let marks =
            below(word, SPACES) | below(word ^ QUOTES, ONES) | below(word ^ BACKSLASHES, ONES);
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes
        .get(at)
        .is_some_and(|byte| !matches!(byte, 0..=0x1F | b'"' | b'\\'))
    {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_ends_at_each_special_byte_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let special = byte < 0x20 || byte == b'"' || byte == b'\\';
            for place in 0..20 {
                let mut bytes = [b'\xE9'; 20];
                bytes[place] = byte;
                for from in 0..20 {
                    let expected = if special && from <= place { place } else { 20 };
                    assert_eq!(
                        end_of_plain_text(&bytes, from),
                        expected,
                        "{byte:#x} at {place} from {from}"
                    );
                }
            }
        }
    }
}
