//! SQL text into tokens: split into statements, names folded to upper case, staged files and placeholders marked.

use datafusion::sql::sqlparser::{
    dialect::SnowflakeDialect,
    keywords::Keyword,
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word},
};

use super::{SqlError, StatementKind};

/// A staged file or folder that a query reads: `FROM '@stage/path' (FILE_FORMAT => 'NAME')`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StageReference {
    /// What follows the `@`: `stage/path`, `db.schema.stage/path`.
    pub(crate) path: String,
    /// The named file format.
    pub(crate) format: Option<String>,
}

/// A statement as tokens that the parser takes: unquoted names in upper case, each staged source replaced by a table
/// named as [`staged_name`] says, the placeholders `?` numbered from left to right.
#[derive(Debug)]
pub(crate) struct Normalized {
    pub(crate) tokens: Vec<TokenWithSpan>,
    pub(crate) stages: Vec<StageReference>,
    /// Where each `?` stands, in order.
    pub(crate) placeholders: Vec<Location>,
    /// The text of each item of the outermost SELECT, in upper case.
    pub(crate) titles: Vec<String>,
}

/// The table name that stands for the n-th staged source.
pub(crate) fn staged_name(index: usize) -> String {
    format!("@{index}")
}

/// The number of the staged source that the table name stands for.
pub(crate) fn staged_index(name: &str) -> Option<usize> {
    name.strip_prefix('@')?.parse().ok()
}

/// The tokens of the text.
pub(crate) fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    Tokenizer::new(&SnowflakeDialect {}, sql)
        .tokenize_with_location()
        .map_err(SqlError::syntax)
}

/// The statements of a request; those that hold nothing but blanks and comments are left out.
pub(crate) fn split(sql: &str) -> Result<Vec<String>, SqlError> {
    let offsets = Offsets::new(sql);
    let mut statements = Vec::new();
    let (mut from, mut empty) = (0, true);
    for token in tokens(sql)? {
        match token.token {
            Token::SemiColon => {
                let end = offsets.of(token.span.start);
                if !empty {
                    statements.push(sql[from..end].trim().to_owned());
                }
                from = offsets.of(token.span.end);
                empty = true;
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => empty = false,
        }
    }
    if !empty {
        statements.push(sql[from..].trim().to_owned());
    }
    Ok(statements)
}

/// What the statement does, from its first words.
pub(crate) fn kind(sql: &str) -> StatementKind {
    let words: Vec<String> = tokens(sql)
        .unwrap_or_default()
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::LParen))
        .map_while(|token| match token.token {
            Token::Word(word) => Some(word.value.to_uppercase()),
            _ => None,
        })
        .take(2)
        .collect();
    let second = words.get(1).map_or("", String::as_str);
    match words.first().map_or("", String::as_str) {
        "SELECT" | "WITH" | "VALUES" => StatementKind::Select,
        "INSERT" => StatementKind::Insert,
        "UPDATE" => StatementKind::Update,
        "DELETE" => StatementKind::Delete,
        "MERGE" => StatementKind::Merge,
        "TRUNCATE" => StatementKind::Truncate,
        "BEGIN" => StatementKind::Begin,
        "START" if second == "TRANSACTION" => StatementKind::Begin,
        "COMMIT" => StatementKind::Commit,
        "ROLLBACK" => StatementKind::Rollback,
        "USE" => StatementKind::Use,
        "ALTER" if second == "SESSION" => StatementKind::AlterSession,
        "CREATE" | "ALTER" | "DROP" | "UNDROP" | "COMMENT" => StatementKind::Ddl,
        "GRANT" | "REVOKE" => StatementKind::Grant,
        "SHOW" => StatementKind::Show,
        "DESC" | "DESCRIBE" => StatementKind::Describe,
        "LIST" | "LS" => StatementKind::List,
        "REMOVE" | "RM" => StatementKind::Remove,
        "PUT" => StatementKind::Put,
        "GET" => StatementKind::Get,
        "COPY" => StatementKind::Copy,
        _ => StatementKind::Other,
    }
}

/// Prepares a statement for the parser.
pub(crate) fn normalize(sql: &str) -> Result<Normalized, SqlError> {
    let titles = titles(sql)?;
    let mut result = Normalized {
        tokens: Vec::new(),
        stages: Vec::new(),
        placeholders: Vec::new(),
        titles,
    };
    let source: Vec<TokenWithSpan> = tokens(sql)?
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .collect();
    let offsets = Offsets::new(sql);
    let mut in_path = false;
    let mut position = 0;
    while position < source.len() {
        let mut token = source[position].clone();
        if follows_from(&result.tokens)
            && let Some((reference, next)) = staged_source(sql, &offsets, &source, position)
        {
            token.token = Token::Word(Word {
                value: staged_name(result.stages.len()),
                quote_style: Some('"'),
                keyword: Keyword::NoKeyword,
            });
            result.stages.push(reference);
            result.tokens.push(token);
            position = next;
            continue;
        }
        match &mut token.token {
            Token::Word(word) if word.quote_style.is_none() && !in_path => {
                word.value = word.value.to_uppercase()
            }
            Token::Word(_) | Token::Period if in_path => {}
            Token::Colon => {}
            Token::Placeholder(text) if text == "?" => {
                result.placeholders.push(token.span.start);
                *text = format!("?{}", result.placeholders.len());
            }
            _ => {}
        }
        in_path = match token.token {
            Token::Colon => true,
            Token::Word(_) | Token::Period => in_path && adjacent(&source, position),
            _ => false,
        };
        result.tokens.push(token);
        position += 1;
    }
    Ok(result)
}

/// Whether the next token goes on with the path that this one is in.
fn adjacent(source: &[TokenWithSpan], position: usize) -> bool {
    source.get(position + 1).is_some_and(|next| {
        matches!(next.token, Token::Period) || next.span.start == source[position].span.end
    })
}

/// Whether what comes next is the source of a FROM, a JOIN or a further one after a comma.
fn follows_from(before: &[TokenWithSpan]) -> bool {
    matches!(
        before.last().map(|token| &token.token),
        Some(Token::Word(word)) if matches!(word.keyword, Keyword::FROM | Keyword::JOIN | Keyword::USING)
    )
}

/// The staged source that begins at the position, and where it ends.
fn staged_source(
    sql: &str,
    offsets: &Offsets,
    source: &[TokenWithSpan],
    position: usize,
) -> Option<(StageReference, usize)> {
    let (path, mut next) = match &source[position].token {
        Token::SingleQuotedString(text) => (text.strip_prefix('@')?.to_owned(), position + 1),
        Token::AtSign => unquoted_path(sql, offsets, source, position)?,
        _ => return None,
    };
    let mut format = None;
    if source.get(next).map(|token| &token.token) == Some(&Token::LParen) {
        while let Some(token) = source.get(next) {
            if let Token::Word(word) = &token.token
                && word.value.eq_ignore_ascii_case("FILE_FORMAT")
            {
                format = match &source.get(next + 2)?.token {
                    Token::SingleQuotedString(name) => Some(name.clone()),
                    Token::Word(name) => Some(name.value.clone()),
                    _ => None,
                };
            }
            next += 1;
            if token.token == Token::RParen {
                break;
            }
        }
    }
    Some((StageReference { path, format }, next))
}

/// `@stage/path` without quotes: up to a blank or a parenthesis.
pub(crate) fn unquoted_path(
    sql: &str,
    offsets: &Offsets,
    source: &[TokenWithSpan],
    position: usize,
) -> Option<(String, usize)> {
    let start = offsets.of(source[position].span.end);
    let length = sql[start..]
        .find(|character: char| {
            character.is_whitespace() || matches!(character, '(' | ')' | ',' | ';')
        })
        .unwrap_or(sql.len() - start);
    let end = start + length;
    let next = source
        .iter()
        .position(|token| offsets.of(token.span.start) >= end)
        .unwrap_or(source.len());
    Some((sql[start..end].to_owned(), next))
}

/// The texts of the items of the outermost SELECT: an unnamed expression is shown under its own text.
fn titles(sql: &str) -> Result<Vec<String>, SqlError> {
    let offsets = Offsets::new(sql);
    let (mut depth, mut items, mut current): (i32, Vec<String>, Option<(usize, usize)>) =
        (0, Vec::new(), None);
    let (mut selecting, mut within) = (false, false);
    for token in tokens(sql)? {
        let ends = match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                depth += 1;
                false
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                depth -= 1;
                false
            }
            Token::Word(word) if depth == 0 && !selecting && word.keyword == Keyword::SELECT => {
                selecting = true;
                continue;
            }
            Token::Word(word) if depth == 0 && selecting && current.is_none() => {
                if matches!(word.keyword, Keyword::DISTINCT | Keyword::ALL) {
                    continue;
                }
                false
            }
            // WITHIN GROUP goes on with its call.
            Token::Word(word) if depth == 0 && word.keyword == Keyword::GROUP && within => false,
            Token::Word(word) if depth == 0 => matches!(
                word.keyword,
                Keyword::FROM
                    | Keyword::WHERE
                    | Keyword::GROUP
                    | Keyword::ORDER
                    | Keyword::LIMIT
                    | Keyword::UNION
                    | Keyword::QUALIFY
                    | Keyword::HAVING
            ),
            Token::Comma if depth == 0 && selecting => {
                items.extend(
                    current
                        .take()
                        .map(|(from, to)| sql[from..to].to_uppercase()),
                );
                continue;
            }
            Token::EOF => break,
            Token::Whitespace(_) => continue,
            _ => false,
        };
        if !selecting {
            continue;
        }
        if ends {
            break;
        }
        within = matches!(&token.token, Token::Word(word) if word.keyword == Keyword::WITHIN);
        let (from, to) = (offsets.of(token.span.start), offsets.of(token.span.end));
        current = Some((current.map_or(from, |(first, _)| first), to));
    }
    items.extend(current.map(|(from, to)| sql[from..to].to_uppercase()));
    Ok(items)
}

/// Where lines begin: the tokenizer speaks of lines and columns, slices of bytes.
#[derive(Debug)]
pub(crate) struct Offsets {
    /// Byte offsets of the characters of each line.
    lines: Vec<Vec<usize>>,
    end: usize,
}

impl Offsets {
    pub(crate) fn new(sql: &str) -> Self {
        let mut lines = vec![Vec::new()];
        for (offset, character) in sql.char_indices() {
            lines
                .last_mut()
                .expect("there is a first line")
                .push(offset);
            if character == '\n' {
                lines.push(Vec::new());
            }
        }
        Self {
            lines,
            end: sql.len(),
        }
    }

    /// The byte offset of a place.
    pub(crate) fn of(&self, location: Location) -> usize {
        let line = usize::try_from(location.line.max(1) - 1).unwrap_or(usize::MAX);
        let column = usize::try_from(location.column.max(1) - 1).unwrap_or(usize::MAX);
        let Some(offsets) = self.lines.get(line) else {
            return self.end;
        };
        offsets.get(column).copied().unwrap_or_else(|| {
            self.lines
                .get(line + 1)
                .and_then(|next| next.first().copied())
                .unwrap_or(self.end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_quotes_and_comments_separate_nothing() {
        let sql = "SELECT ';' -- ;\n; /* ; */ SELECT \"a;b\", $$;$$;\n\n;-- end";
        assert_eq!(
            split(sql).unwrap(),
            vec!["SELECT ';' -- ;", "/* ; */ SELECT \"a;b\", $$;$$"]
        );
    }

    #[test]
    fn an_unnamed_column_is_called_by_its_text() {
        let titles = |sql| normalize(sql).unwrap().titles;
        assert_eq!(
            titles("SELECT 'NaN'::FLOAT, count(*) FROM t"),
            ["'NAN'::FLOAT", "COUNT(*)"]
        );
        assert_eq!(
            titles("WITH a AS (SELECT 1) SELECT b, c(d, e)"),
            ["B", "C(D, E)"]
        );
    }

    #[test]
    fn a_staged_source_becomes_a_table() {
        let normalized = normalize(
            "SELECT $1:Key.in::DATE d FROM '@db.s.st/a b/c.parquet' (FILE_FORMAT => 'F') x",
        )
        .unwrap();
        assert_eq!(
            normalized.stages,
            [StageReference {
                path: "db.s.st/a b/c.parquet".to_owned(),
                format: Some("F".to_owned())
            }]
        );
        let text: Vec<String> = normalized
            .tokens
            .iter()
            .map(|token| token.token.to_string())
            .collect();
        assert_eq!(
            text.join(" "),
            "SELECT $1 : Key . in :: DATE D FROM \"@0\" X"
        );
    }

    #[test]
    fn an_unquoted_stage_ends_at_a_blank() {
        let normalized =
            normalize("SELECT 1 FROM @st/a-1/ (file_format => f) WHERE 1 = 1").unwrap();
        assert_eq!(normalized.stages[0].path, "st/a-1/");
        assert_eq!(normalized.stages[0].format.as_deref(), Some("f"));
    }
}
