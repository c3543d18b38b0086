//! Commands that the SQL parser does not know, word by word: `CREATE FILE FORMAT`, `GRANT ... ON INTEGRATION`, ...

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{SqlError, text};

/// Walks over the tokens of a command.
#[derive(Debug)]
pub(crate) struct Cursor {
    tokens: Vec<TokenWithSpan>,
    position: usize,
}

/// What stands behind the `=` of a property, or in front of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Property {
    Text(String),
    List(BTreeMap<String, Self>),
}

impl Property {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(_) => None,
        }
    }
}

/// Properties by name.
pub(crate) type Properties = BTreeMap<String, Property>;

impl Cursor {
    pub(crate) fn new(sql: &str) -> Result<Self, SqlError> {
        let tokens = text::tokens(sql)?
            .into_iter()
            .filter(|token| {
                !matches!(
                    token.token,
                    Token::Whitespace(_) | Token::SemiColon | Token::EOF
                )
            })
            .collect();
        Ok(Self {
            tokens,
            position: 0,
        })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position).map(|token| &token.token)
    }

    fn is_word(&self, offset: usize, word: &str) -> bool {
        matches!(
            self.tokens.get(self.position + offset).map(|token| &token.token),
            Some(Token::Word(found)) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word)
        )
    }

    /// Takes the words if all of them come next.
    pub(crate) fn accept(&mut self, words: &str) -> bool {
        let count = words.split(' ').count();
        let all = words
            .split(' ')
            .enumerate()
            .all(|(offset, word)| self.is_word(offset, word));
        if all {
            self.position += count;
        }
        all
    }

    /// Takes the words, which have to come next.
    pub(crate) fn expect(&mut self, words: &str) -> Result<(), SqlError> {
        if self.accept(words) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    pub(crate) fn accept_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.position += 1;
        }
        found
    }

    /// The next word in upper case, whatever it is.
    pub(crate) fn word(&mut self) -> Result<String, SqlError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let value = word.value.to_uppercase();
                self.position += 1;
                Ok(value)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A name of up to three parts; unquoted ones in upper case.
    pub(crate) fn name(&mut self) -> Result<Vec<String>, SqlError> {
        let mut parts = Vec::new();
        loop {
            match self.peek() {
                Some(Token::Word(word)) => parts.push(match word.quote_style {
                    Some(_) => word.value.clone(),
                    None => word.value.to_uppercase(),
                }),
                _ => return Err(self.unexpected()),
            }
            self.position += 1;
            if !self.accept_token(&Token::Period) {
                return Ok(parts);
            }
        }
    }

    /// The next text literal.
    pub(crate) fn literal(&mut self) -> Result<String, SqlError> {
        match self.peek() {
            Some(Token::SingleQuotedString(value)) => {
                let value = value.clone();
                self.position += 1;
                Ok(value)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `NAME = value` as often as it comes.
    pub(crate) fn properties(&mut self) -> Result<Properties, SqlError> {
        let mut properties = BTreeMap::new();
        while let Some(Token::Word(_)) = self.peek() {
            let name = self.word()?;
            if !self.accept_token(&Token::Eq) {
                properties.insert(name, Property::Text(String::new()));
                continue;
            }
            let value = self.property()?;
            properties.insert(name, value);
            self.accept_token(&Token::Comma);
        }
        Ok(properties)
    }

    fn property(&mut self) -> Result<Property, SqlError> {
        let value = match self.peek() {
            Some(Token::LParen) => {
                self.position += 1;
                let mut list = BTreeMap::new();
                while !self.accept_token(&Token::RParen) {
                    let is_pair = matches!(
                        self.tokens.get(self.position + 1).map(|token| &token.token),
                        Some(Token::Eq)
                    );
                    if is_pair {
                        let name = self.word()?;
                        self.expect_eq()?;
                        let value = self.property()?;
                        list.insert(name, value);
                    } else {
                        let value = self.property()?;
                        list.insert(list.len().to_string(), value);
                    }
                    self.accept_token(&Token::Comma);
                }
                return Ok(Property::List(list));
            }
            Some(Token::SingleQuotedString(value)) => value.clone(),
            Some(Token::Number(value, _)) => value.clone(),
            Some(Token::DollarQuotedString(value)) => value.value.clone(),
            Some(Token::Word(_)) => return Ok(Property::Text(self.name()?.join("."))),
            _ => return Err(self.unexpected()),
        };
        self.position += 1;
        Ok(Property::Text(value))
    }

    fn expect_eq(&mut self) -> Result<(), SqlError> {
        if self.accept_token(&Token::Eq) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// The next whole number, with its sign.
    pub(crate) fn whole_number(&mut self) -> Result<i64, SqlError> {
        let negative = self.accept_token(&Token::Minus);
        let Some(Token::Number(digits, _)) = self.peek() else {
            return Err(self.unexpected());
        };
        let Ok(number) = digits.parse::<i64>() else {
            return Err(self.unexpected());
        };
        self.position += 1;
        Ok(if negative { -number } else { number })
    }

    /// What is left, as text; it is taken.
    pub(crate) fn text_of_rest(&mut self) -> String {
        let rest: Vec<String> = self
            .rest()
            .iter()
            .map(|token| token.token.to_string())
            .collect();
        self.position = self.tokens.len();
        rest.join(" ")
    }

    /// The tokens that are left.
    pub(crate) fn rest(&self) -> &[TokenWithSpan] {
        &self.tokens[self.position..]
    }

    /// Goes back by one token.
    pub(crate) fn back(&mut self) {
        self.position -= 1;
    }

    /// Whether the next token is a word.
    pub(crate) fn at_word(&self) -> bool {
        matches!(self.peek(), Some(Token::Word(_)))
    }

    /// Nothing may come any more.
    pub(crate) fn end(&self) -> Result<(), SqlError> {
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// The error that the next token is.
    pub(crate) fn unexpected(&self) -> SqlError {
        match self.tokens.get(self.position) {
            Some(token) => SqlError::syntax(format!(
                "syntax error line {} at position {} unexpected '{}'",
                token.span.start.line,
                token.span.start.column.saturating_sub(1),
                token.token
            )),
            None => SqlError::syntax("syntax error unexpected '<EOF>'"),
        }
    }
}
