//! Where the words of a file stand, so that a refusal can name the line.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The words of a file outside of comments and strings, with the commas between them.
pub(super) struct Words {
    words: Vec<Word>,
}

struct Word {
    text: String,
    line: u64,
    /// How many parentheses and brackets are open around it.
    depth: usize,
}

impl Words {
    /// Of a text that cannot be read to its end there are those before.
    pub(super) fn of(text: &str) -> Self {
        let mut tokens = Vec::new();
        // What is wrong with the text is said by whoever parses it.
        let _ =
            Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut tokens);
        let mut words = Vec::new();
        let mut depth: usize = 0;
        for token in tokens {
            let text = match token.token {
                Token::LParen | Token::LBracket => {
                    depth += 1;
                    continue;
                }
                Token::RParen | Token::RBracket => {
                    depth = depth.saturating_sub(1);
                    continue;
                }
                Token::Word(word) => word.value,
                Token::Comma => ",".to_owned(),
                Token::Mul => "*".to_owned(),
                Token::Number(..) | Token::SingleQuotedString(_) => String::new(),
                _ => continue,
            };
            words.push(Word {
                text,
                line: token.span.start.line,
                depth,
            });
        }
        Self { words }
    }

    /// The line of the first place of one or more words, of a place outside of parentheses if there is one.
    pub(super) fn line_of(&self, phrase: &str) -> Option<u64> {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        let mut places = self.words.windows(phrase.len()).filter(|found| {
            found
                .iter()
                .zip(&phrase)
                .all(|(word, wanted)| word.text.eq_ignore_ascii_case(wanted))
        });
        let first = places.next()?;
        let outside = std::iter::once(first)
            .chain(places)
            .find(|found| found[0].depth == 0);
        Some(outside.unwrap_or(first)[0].line)
    }

    /// The line of the first SELECT inside of parentheses.
    pub(super) fn line_of_subquery(&self) -> Option<u64> {
        let select = |word: &&Word| word.depth > 0 && word.text.eq_ignore_ascii_case("SELECT");
        self.words.iter().find(select).map(|word| word.line)
    }

    /// The line on which an item of the first SELECT list begins, counted from 0.
    pub(super) fn line_of_item(&self, at: usize) -> Option<u64> {
        let is = |word: &&Word, text: &str| word.depth == 0 && word.text.eq_ignore_ascii_case(text);
        let mut words = self
            .words
            .iter()
            .skip_while(|word| !is(word, "SELECT"))
            .skip(1);
        for _ in 0..at {
            words.find(|word| is(word, ",") || is(word, "FROM"))?;
        }
        words.next().map(|word| word.line)
    }

    /// The line of the first word that an error message quotes.
    pub(super) fn line_of_quoted(&self, message: &str) -> Option<u64> {
        message
            .split(['\'', '`', '"'])
            .skip(1)
            .step_by(2)
            .flat_map(|quoted| quoted.split(|c: char| !c.is_alphanumeric() && c != '_'))
            .filter(|name| !name.is_empty())
            .find_map(|name| self.line_of(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_outside_of_comments_and_strings() {
        let words = Words::of(
            "-- LIMIT\nSELECT 'LIMIT' AS a,\n  count(*) FILTER (WHERE x > 1) AS b,\n  [1, 2] AS c\nFROM t\nWHERE y IN\n(SELECT 1)\nLIMIT 3",
        );
        for (phrase, line) in [
            ("SELECT", Some(2)),
            ("WHERE", Some(6)),
            ("limit", Some(8)),
            ("FILTER WHERE", Some(3)),
            ("GROUP BY", None),
        ] {
            assert_eq!(words.line_of(phrase), line, "{phrase}");
        }
        assert_eq!(words.line_of_subquery(), Some(7));
        let items = [0, 1, 2, 3].map(|at| words.line_of_item(at));
        assert_eq!(items, [Some(2), Some(3), Some(4), Some(5)]);
        assert_eq!(words.line_of_quoted("function 'COUNT(x)' or so"), Some(3));
        assert_eq!(words.line_of_quoted("nothing quoted: count"), None);
    }
}
