//! Names and values in, the text that stands for them in a statement out.
//!
//! Several statements in one request cannot have bindings, so a load carries its values as literals. Every one of
//! them passes here, once.

use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;

/// Words that Snowflake reserves and the parser's list does not have.
/// <https://docs.snowflake.com/en/sql-reference/reserved-keywords>
const RESERVED_BESIDES: [&str; 2] = ["GSCLUSTER", "ISSUE"];

/// An identifier as it is written in a statement; in quotes where the bare word would mean something else.
///
/// The name is taken as it is stored: `CUSTOMER_ID` and `"CUSTOMER_ID"` are the same to Snowflake, `customer_id` in quotes is not.
pub(crate) fn quoted(name: &str) -> String {
    let bare = name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
        && name
            .chars()
            .all(|one| one.is_ascii_uppercase() || one.is_ascii_digit() || one == '_');
    if bare && ALL_KEYWORDS.binary_search(&name).is_err() && !RESERVED_BESIDES.contains(&name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a string constant. Snowflake reads a backslash in it as the beginning of an escape.
pub(crate) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// The field of a Parquet row (`$1`, one VARIANT) by its name, which is case-sensitive.
pub(crate) fn field(name: &str) -> String {
    let bare = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name
            .chars()
            .all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_');
    if bare
        && ALL_KEYWORDS
            .binary_search(&name.to_uppercase().as_str())
            .is_err()
    {
        return format!("$1:{name}");
    }
    format!("$1:\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_must() {
        for (name, expected) in [
            ("CUSTOMER_ID", "CUSTOMER_ID"),
            ("_A1", "_A1"),
            ("ORDER", "\"ORDER\""),
            ("ISSUE", "\"ISSUE\""),
            ("customer_id", "\"customer_id\""),
            ("1ST", "\"1ST\""),
            ("A B", "\"A B\""),
            ("A\"; DROP TABLE T; --", "\"A\"\"; DROP TABLE T; --\""),
        ] {
            assert_eq!(quoted(name), expected, "{name}");
        }
    }

    #[test]
    fn text_cannot_end_its_own_quotes() {
        assert_eq!(text("clean_events"), "'clean_events'");
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(text("\\' OR 1=1"), "'\\\\'' OR 1=1'");
    }

    #[test]
    fn fields_are_found_by_their_exact_name() {
        assert_eq!(field("customer_id"), "$1:customer_id");
        assert_eq!(field("_offset"), "$1:_offset");
        assert_eq!(field("order"), "$1:\"order\"");
        assert_eq!(field("total $"), "$1:\"total $\"");
    }
}
