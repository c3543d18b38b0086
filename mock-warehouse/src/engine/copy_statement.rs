//! What a COPY INTO says: the table, where the files are, which of them, and what to do with errors.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{
    SqlError,
    cursor::{Cursor, Properties, Property},
    text::{self, Offsets, unquoted_path},
};

/// A COPY INTO a table.
#[derive(Debug)]
pub(crate) struct CopyInto {
    pub(crate) table: Vec<String>,
    /// The columns that are loaded; all of them when it lists none.
    pub(crate) columns: Vec<String>,
    /// `stage/path`, without the `@`.
    pub(crate) from: String,
    /// The query over the staged files, when there is one.
    pub(crate) query: Option<String>,
    pub(crate) options: Options,
}

/// What stands behind the source.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Names relative to the source.
    pub(crate) files: Option<BTreeSet<String>>,
    /// A regular expression that a file's whole path matches.
    pub(crate) pattern: Option<String>,
    /// A named file format.
    pub(crate) format: Option<String>,
    /// Whether the format is given in place, as Parquet.
    pub(crate) parquet: bool,
    pub(crate) matching: Matching,
    pub(crate) on_error: OnError,
    pub(crate) purge: bool,
    pub(crate) force: bool,
    pub(crate) failed_only: bool,
}

/// `MATCH_BY_COLUMN_NAME`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Matching {
    #[default]
    Off,
    Exact,
    AnyCase,
}

/// `ON_ERROR`, as far as Parquet files know it: they have no rows that can be left out, and so CONTINUE skips a file
/// that cannot be read and stops at a value that cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnError {
    #[default]
    Abort,
    Continue,
    SkipFile,
}

/// Options of a Parquet format that change nothing here.
const PARQUET_OPTIONS: [&str; 6] = [
    "COMPRESSION",
    "SNAPPY_COMPRESSION",
    "BINARY_AS_TEXT",
    "USE_LOGICAL_TYPE",
    "USE_VECTORIZED_SCANNER",
    "REPLACE_INVALID_CHARACTERS",
];

/// Reads the statement.
pub(crate) fn parse(sql: &str) -> Result<CopyInto, SqlError> {
    let mut cursor = Cursor::new(sql)?;
    cursor.expect("COPY INTO")?;
    if !cursor.at_word() {
        return Err(SqlError::unsupported("COPY INTO A LOCATION"));
    }
    let table = cursor.name()?;
    let columns = if cursor.accept_token(&Token::LParen) {
        names(&mut cursor)?
    } else {
        Vec::new()
    };
    cursor.expect("FROM")?;
    let (from, query, rest) = source(sql, &cursor)?;
    let mut cursor = Cursor::new(rest)?;
    let properties = cursor.properties()?;
    cursor.end()?;
    Ok(CopyInto {
        table,
        columns,
        from,
        query,
        options: Options::of(&properties)?,
    })
}

fn names(cursor: &mut Cursor) -> Result<Vec<String>, SqlError> {
    let mut names = Vec::new();
    loop {
        names.extend(cursor.name()?);
        if cursor.accept_token(&Token::RParen) {
            return Ok(names);
        }
        if !cursor.accept_token(&Token::Comma) {
            return Err(cursor.unexpected());
        }
    }
}

/// The stage's path, the query over it if there is one, and the text behind both.
fn source<'a>(
    sql: &'a str,
    cursor: &Cursor,
) -> Result<(String, Option<String>, &'a str), SqlError> {
    let offsets = Offsets::new(sql);
    let tokens = cursor.rest();
    let first = tokens.first().ok_or_else(|| cursor.unexpected())?;
    if first.token != Token::LParen {
        let (path, end) =
            staged_path(sql, &offsets, tokens, 0).ok_or_else(|| cursor.unexpected())?;
        return Ok((path, None, &sql[end..]));
    }
    let end = closing(tokens).ok_or_else(|| SqlError::syntax("syntax error unexpected '<EOF>'"))?;
    let inner = &sql[offsets.of(first.span.end)..offsets.of(tokens[end].span.start)];
    let query = simple_query(inner)?;
    let path = query.stages[0].path.clone();
    let rest = &sql[offsets.of(tokens[end].span.end)..];
    Ok((path, Some(inner.to_owned()), rest))
}

/// The staged path at the position, and where its text ends.
fn staged_path(
    sql: &str,
    offsets: &Offsets,
    tokens: &[TokenWithSpan],
    position: usize,
) -> Option<(String, usize)> {
    let token = tokens.get(position)?;
    match &token.token {
        Token::SingleQuotedString(text) => Some((
            text.strip_prefix('@')?.to_owned(),
            offsets.of(token.span.end),
        )),
        Token::AtSign => {
            let (path, _) = unquoted_path(sql, offsets, tokens, position)?;
            let end = offsets.of(token.span.end) + path.len();
            Some((path, end))
        }
        _ => None,
    }
}

/// The position of the parenthesis that closes the first one.
fn closing(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0;
    tokens.iter().position(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// The query of a COPY: columns of one stage, without clauses that look at several rows.
fn simple_query(sql: &str) -> Result<text::Normalized, SqlError> {
    let normalized = text::normalize(sql)?;
    let refused = [
        "WHERE", "GROUP", "ORDER", "LIMIT", "JOIN", "HAVING", "QUALIFY", "UNION", "TOP",
    ];
    for token in &normalized.tokens {
        if let Token::Word(word) = &token.token
            && word.quote_style.is_none()
            && refused.contains(&word.value.as_str())
        {
            return Err(SqlError::unsupported(format!(
                "COPY FROM A QUERY WITH {}",
                word.value
            )));
        }
    }
    if normalized.stages.len() != 1 {
        return Err(SqlError::unsupported(
            "COPY FROM A QUERY THAT READS NO STAGE",
        ));
    }
    Ok(normalized)
}

impl Options {
    fn of(properties: &Properties) -> Result<Self, SqlError> {
        let mut options = Self::default();
        for (name, value) in properties {
            match (name.as_str(), value) {
                ("FILES", Property::List(files)) => {
                    let files: BTreeSet<String> = files
                        .values()
                        .filter_map(Property::text)
                        .map(str::to_owned)
                        .collect();
                    if files.len() > 1000 {
                        return Err(SqlError::unsupported("MORE THAN 1000 FILES IN A COPY"));
                    }
                    options.files = Some(files);
                }
                ("PATTERN", Property::Text(pattern)) => options.pattern = Some(pattern.clone()),
                ("FILE_FORMAT", Property::List(format)) => options.set_format(format)?,
                ("MATCH_BY_COLUMN_NAME", Property::Text(text)) => {
                    options.matching = match text.to_uppercase().as_str() {
                        "NONE" => Matching::Off,
                        "CASE_SENSITIVE" => Matching::Exact,
                        "CASE_INSENSITIVE" => Matching::AnyCase,
                        _ => return Err(invalid(name, text)),
                    };
                }
                ("ON_ERROR", Property::Text(text)) => {
                    options.on_error = match text.to_uppercase().as_str() {
                        "ABORT_STATEMENT" => OnError::Abort,
                        "CONTINUE" => OnError::Continue,
                        "SKIP_FILE" => OnError::SkipFile,
                        // A Parquet file counts no errors: it is skipped or not.
                        skipped if skipped.starts_with("SKIP_FILE_") => OnError::Continue,
                        _ => return Err(invalid(name, text)),
                    };
                }
                ("PURGE", Property::Text(text)) => options.purge = flag(name, text)?,
                ("FORCE", Property::Text(text)) => options.force = flag(name, text)?,
                ("RETURN_FAILED_ONLY", Property::Text(text)) => {
                    options.failed_only = flag(name, text)?;
                }
                // Whether text is too long is an error either way.
                ("ENFORCE_LENGTH", Property::Text(text)) if flag(name, text)? => {}
                ("TRUNCATECOLUMNS" | "LOAD_UNCERTAIN_FILES", Property::Text(text))
                    if !flag(name, text)? => {}
                _ => return Err(SqlError::unsupported(format!("COPY WITH {name}"))),
            }
        }
        if options.files.is_some() && options.pattern.is_some() {
            return Err(SqlError::unsupported("COPY WITH FILES AND PATTERN"));
        }
        Ok(options)
    }

    fn set_format(&mut self, format: &Properties) -> Result<(), SqlError> {
        if let Some(kind) = format.get("TYPE").and_then(Property::text)
            && !kind.eq_ignore_ascii_case("PARQUET")
        {
            return Err(SqlError::unsupported(format!(
                "COPY OF {} FILES",
                kind.to_uppercase()
            )));
        }
        for (name, value) in format {
            match (name.as_str(), value) {
                ("FORMAT_NAME", Property::Text(text)) => self.format = Some(text.clone()),
                ("TYPE", Property::Text(_)) => self.parquet = true,
                (known, _) if PARQUET_OPTIONS.contains(&known) => {}
                _ => return Err(SqlError::unsupported(format!("FILE FORMAT WITH {name}"))),
            }
        }
        Ok(())
    }
}

fn flag(name: &str, text: &str) -> Result<bool, SqlError> {
    match text.to_uppercase().as_str() {
        "TRUE" => Ok(true),
        "FALSE" => Ok(false),
        _ => Err(invalid(name, text)),
    }
}

fn invalid(name: &str, text: &str) -> SqlError {
    SqlError::new(
        "001008",
        "22023",
        format!("SQL compilation error:\ninvalid value [{text}] for parameter '{name}'"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_read_with_all_its_parts() {
        let copy = parse(
            "copy into s.t (a, \"b\") from @st/x-1/ files = ('p.parquet', 'q.parquet') \
             file_format = (type = parquet) on_error = 'skip_file' purge = true",
        )
        .unwrap();
        assert_eq!(copy.table, ["S", "T"]);
        assert_eq!(copy.columns, ["A", "b"]);
        assert_eq!((copy.from.as_str(), copy.query), ("st/x-1/", None));
        assert_eq!(copy.options.files.unwrap().len(), 2);
        assert_eq!(copy.options.on_error, OnError::SkipFile);
        assert!(copy.options.purge && copy.options.parquet && !copy.options.force);
    }

    #[test]
    fn a_query_in_a_copy_names_its_stage() {
        let copy = parse("COPY INTO t FROM (SELECT $1:a, f($1:b) FROM '@d.s.st/x' t) FORCE = TRUE")
            .unwrap();
        assert_eq!(copy.from, "d.s.st/x");
        assert_eq!(
            copy.query.as_deref(),
            Some("SELECT $1:a, f($1:b) FROM '@d.s.st/x' t")
        );
        assert!(copy.options.force);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for sql in [
            "COPY INTO t FROM @st FILE_FORMAT = (TYPE = CSV)",
            "COPY INTO t FROM @st VALIDATION_MODE = RETURN_ERRORS",
            "COPY INTO t FROM @st ON_ERROR = PERHAPS",
            "COPY INTO t FROM (SELECT $1:a FROM @st WHERE 1 = 1)",
            "COPY INTO t FROM (SELECT 1)",
            "COPY INTO @st FROM t",
            "COPY INTO t FROM u",
        ] {
            assert!(parse(sql).is_err(), "{sql}");
        }
    }
}
