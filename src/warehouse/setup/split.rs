//! A script to its statements: split at each `;` outside of quotes and comments, comments taken out, variables put in.

/// A statement and the line on which it begins, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) line: usize,
}

/// What is wrong, and on which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) text: String,
    pub(super) line: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    /// Replaced by its line ends, so that the server's line numbers stay right.
    Comment,
    /// Variables in it are replaced.
    Text,
    /// A `$$` body, left as it is: `${x}` means something else in JavaScript.
    Body,
    End,
}

/// Splits a script. `value` gives a variable's value, or says why it has none.
pub(super) fn split(
    script: &str,
    value: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut piece = Piece {
        text: String::new(),
        line: 1,
    };
    let (mut rest, mut line) = (script, 1);
    while !rest.is_empty() {
        let (token, length) = next_token(rest).map_err(|text| Problem {
            text: text.to_owned(),
            line,
        })?;
        let (text, after) = rest.split_at(length);
        match token {
            Token::Comment => {
                piece.text.push(' ');
                piece.text.extend(text.chars().filter(|c| *c == '\n'));
            }
            Token::Body => piece.text.push_str(text),
            Token::Text => piece.text.push_str(&expand(text, line, value)?),
            Token::End => finish(&mut piece, &mut pieces),
        }
        line += text.matches('\n').count();
        if piece.text.trim().is_empty() {
            // Still before the first word.
            piece = Piece {
                text: String::new(),
                line,
            };
        }
        rest = after;
    }
    finish(&mut piece, &mut pieces);
    Ok(pieces)
}

fn finish(piece: &mut Piece, pieces: &mut Vec<Piece>) {
    let text = std::mem::take(&mut piece.text);
    let start = text.len() - text.trim_start().len();
    let line = piece.line + text[..start].matches('\n').count();
    if !text.trim().is_empty() {
        pieces.push(Piece {
            text: text.trim().to_owned(),
            line,
        });
    }
}

/// The first token of a text that is not empty, and its length in bytes.
fn next_token(rest: &str) -> Result<(Token, usize), &'static str> {
    let closed_by = |end: &str, problem| match rest[2..].find(end) {
        Some(at) => Ok(2 + at + end.len()),
        None => Err(problem),
    };
    if rest.starts_with("--") || rest.starts_with("//") {
        return Ok((Token::Comment, rest.find('\n').unwrap_or(rest.len())));
    }
    if rest.starts_with("/*") {
        return Ok((
            Token::Comment,
            closed_by("*/", "a comment `/*` that is never closed")?,
        ));
    }
    if rest.starts_with("$$") {
        return Ok((
            Token::Body,
            closed_by("$$", "a body `$$` that is never closed")?,
        ));
    }
    match rest.as_bytes()[0] {
        b';' => Ok((Token::End, 1)),
        b'\'' => Ok((
            Token::Text,
            quoted(rest, b'\'').ok_or("a text `'` that is never closed")?,
        )),
        b'"' => Ok((
            Token::Text,
            quoted(rest, b'"').ok_or("a name `\"` that is never closed")?,
        )),
        b'$' if rest.starts_with("${") => {
            let end = rest
                .find('}')
                .ok_or("a variable `${` that is never closed")?;
            Ok((Token::Text, end + 1))
        }
        first => {
            let width = if first.is_ascii() {
                1
            } else {
                rest.chars().next().map_or(1, char::len_utf8)
            };
            let plain = rest[width..].find(['-', '/', '$', '\'', '"', ';']);
            // Blanks before a statement are a token of their own, so that its line is the one of its first word.
            let blank = rest.len() - rest.trim_start().len();
            let length = plain.map_or(rest.len(), |at| width + at);
            Ok((Token::Text, if blank > 0 { blank } else { length }))
        }
    }
}

/// The length of a quoted text, with its quotes. A doubled quote is one of the text; so is one after a backslash, in
/// text but not in a name.
fn quoted(rest: &str, quote: u8) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'\'' => at += 2,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

fn expand(
    text: &str,
    line: usize,
    value: &dyn Fn(&str) -> Result<String, String>,
) -> Result<String, Problem> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        expanded.push_str(before);
        let Some(end) = from.find('}') else { break };
        let here = line + text[..text.len() - from.len()].matches('\n').count();
        expanded.push_str(&value(&from[2..end]).map_err(|text| Problem { text, line: here })?);
        rest = &from[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Result<String, String> {
        match name {
            "schema" => Ok("STREAMING".into()),
            _ => Err(format!("unknown variable `${{{name}}}`")),
        }
    }

    fn statements(script: &str) -> Vec<(usize, String)> {
        let pieces = split(script, &value).unwrap();
        pieces
            .into_iter()
            .map(|piece| (piece.line, piece.text))
            .collect()
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let script = "-- tables; really\nCREATE TABLE a (b VARCHAR DEFAULT ';''\\';'); // rest; of it\n\n/* two;\nlines */\
                      \n  SELECT \";\", $1 - 2 / 3;\n;\nCREATE PROCEDURE p() AS $$ var a = `${b}; 'x`; $$";
        assert_eq!(
            statements(script),
            [
                (2, "CREATE TABLE a (b VARCHAR DEFAULT ';''\\';')".to_owned()),
                (6, "SELECT \";\", $1 - 2 / 3".to_owned()),
                (
                    8,
                    "CREATE PROCEDURE p() AS $$ var a = `${b}; 'x`; $$".to_owned()
                ),
            ]
        );
        assert_eq!(statements(" \n-- nothing\n"), []);
    }

    #[test]
    fn comments_leave_their_line_ends_so_that_lines_stay_right() {
        let found = statements("SELECT 1, -- one\n  /* a\n b */ é2\n");
        assert_eq!(found, [(1, "SELECT 1,  \n   \n é2".to_owned())]);
    }

    #[test]
    fn variables_are_put_in_but_not_into_comments() {
        let found = statements(
            "USE ${schema}.T '${schema}/x' \"${schema}\"; -- ${nothing}\nSELECT '$', ${schema}",
        );
        assert_eq!(
            found,
            [
                (1, "USE STREAMING.T 'STREAMING/x' \"STREAMING\"".to_owned()),
                (2, "SELECT '$', STREAMING".to_owned())
            ]
        );
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        for (script, line, text) in [
            ("SELECT 1;\nSELECT ${nope}", 2, "unknown variable `${nope}`"),
            ("SELECT '\n\n${nope}'", 3, "unknown variable `${nope}`"),
            (
                "SELECT 1;\n\nSELECT 'a",
                3,
                "a text `'` that is never closed",
            ),
            ("/* a", 1, "a comment `/*` that is never closed"),
            ("SELECT \"a", 1, "a name `\"` that is never closed"),
            ("\nAS $$ a", 2, "a body `$$` that is never closed"),
            ("${a", 1, "a variable `${` that is never closed"),
        ] {
            let problem = split(script, &value).unwrap_err();
            assert_eq!(
                (problem.line, problem.text.as_str()),
                (line, text),
                "{script}"
            );
        }
    }
}
