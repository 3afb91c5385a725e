//! The words of an expression.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Chars;

use serde_json::{Number, Value};

use super::{Comparison, ConditionError};
use crate::job::finding::quote;

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Literal(Value),
    Compare(Comparison),
    Matches,
    Exists,
    Not,
    And,
    Or,
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
}

/// A word and the column it starts in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    pub(super) column: usize,
    pub(super) token: Token,
}

/// Splits a text into words.
pub(super) fn words(text: &str) -> Result<Vec<Word>, ConditionError> {
    let mut lexer = Lexer { rest: text.chars().peekable(), column: 1 };
    let mut words = Vec::new();
    while let Some(word) = lexer.word()? {
        words.push(word);
    }
    Ok(words)
}

/// Whether a character may stand in a plain name.
pub(super) fn is_name_character(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.')
}

/// The words that have a meaning of their own in expressions, in any case.
static KEYWORDS: [(&str, Token); 9] = [
    ("true", Token::Literal(Value::Bool(true))),
    ("false", Token::Literal(Value::Bool(false))),
    ("null", Token::Literal(Value::Null)),
    ("contains", Token::Compare(Comparison::Contains)),
    ("startsWith", Token::Compare(Comparison::StartsWith)),
    ("endsWith", Token::Compare(Comparison::EndsWith)),
    ("in", Token::Compare(Comparison::In)),
    ("matches", Token::Matches),
    ("exists", Token::Exists),
];

/// What such a word means; none for any other.
pub(super) fn keyword(text: &str) -> Option<&'static Token> {
    KEYWORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, token)| token)
}

/// A number as JSON writes it.
pub(super) fn number(text: &str) -> Option<Number> {
    serde_json::from_str(text).ok()
}

struct Lexer<'t> {
    rest: Peekable<Chars<'t>>,
    column: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.rest.next();
        self.column = self.column.saturating_add(usize::from(letter.is_some()));
        letter
    }

    fn follows(&mut self, wanted: char) -> bool {
        let found = self.rest.peek() == Some(&wanted);
        if found {
            self.next();
        }
        found
    }

    fn fail<T>(column: usize, message: impl Into<String>) -> Result<T, ConditionError> {
        Err(ConditionError { column, message: message.into() })
    }

    fn word(&mut self) -> Result<Option<Word>, ConditionError> {
        while self.rest.peek().is_some_and(|letter| letter.is_whitespace()) {
            self.next();
        }
        let column = self.column;
        let Some(first) = self.next() else { return Ok(None) };
        let token = match first {
            '(' => Token::Open,
            ')' => Token::Close,
            '[' => Token::OpenList,
            ']' => Token::CloseList,
            ',' => Token::Comma,
            '"' | '\'' => Token::Literal(Value::String(self.text(first, column)?)),
            '{' => Token::Name(self.braced(column)?),
            '!' if self.follows('=') => Token::Compare(Comparison::NotEqual),
            '!' => Token::Not,
            '<' if self.follows('=') => Token::Compare(Comparison::LessOrEqual),
            '<' => Token::Compare(Comparison::Less),
            '>' if self.follows('=') => Token::Compare(Comparison::GreaterOrEqual),
            '>' => Token::Compare(Comparison::Greater),
            '=' if self.follows('=') => Token::Compare(Comparison::Equal),
            '=' => return Self::fail(column, "write '==' to compare."),
            '&' if self.follows('&') => Token::And,
            '&' => return Self::fail(column, "write '&&' for and."),
            '|' if self.follows('|') => Token::Or,
            '|' => return Self::fail(column, "write '||' for or."),
            digit if digit.is_ascii_digit() || digit == '-' => self.number(digit, column)?,
            letter if is_name_character(letter) && letter != '.' => self.name(letter),
            other => {
                return Self::fail(
                    column,
                    format!("the character {} has no meaning here.", quote(&String::from(other))),
                );
            }
        };
        Ok(Some(Word { column, token }))
    }

    fn name(&mut self, first: char) -> Token {
        let mut name = String::from(first);
        while let Some(letter) = self.rest.next_if(|letter| is_name_character(*letter)) {
            self.column = self.column.saturating_add(1);
            name.push(letter);
        }
        keyword(&name).cloned().unwrap_or(Token::Name(name))
    }

    fn number(&mut self, first: char, column: usize) -> Result<Token, ConditionError> {
        let mut text = String::from(first);
        while let Some(letter) = self.rest.next_if(|letter| is_name_character(*letter) || *letter == '+') {
            self.column = self.column.saturating_add(1);
            text.push(letter);
        }
        match number(&text) {
            Some(number) => Ok(Token::Literal(Value::Number(number))),
            None => {
                let message = format!(
                    "{} is not a number as JSON writes it; a name that starts so goes in braces.",
                    quote(&text)
                );
                Self::fail(column, message)
            }
        }
    }

    /// A name in braces, for names that are no plain names or mean something else.
    fn braced(&mut self, column: usize) -> Result<String, ConditionError> {
        let mut name = String::new();
        while let Some(letter) = self.next() {
            match letter {
                '}' if name.is_empty() => return Self::fail(column, "there is no name between the braces."),
                '}' => return Ok(name),
                '{' => break,
                letter if letter.is_control() => break,
                letter => name.push(letter),
            }
        }
        Self::fail(column, "the brace is not closed: write {Name}.")
    }

    /// A text up to its closing quotation mark, with the escapes of JSON.
    fn text(&mut self, mark: char, column: usize) -> Result<String, ConditionError> {
        let mut text = String::new();
        while let Some(letter) = self.next() {
            match letter {
                '\\' => text.push(self.escaped()?),
                letter if letter == mark => return Ok(text),
                letter => text.push(letter),
            }
        }
        Self::fail(column, format!("the text is not closed with {mark}."))
    }

    fn escaped(&mut self) -> Result<char, ConditionError> {
        let column = self.column;
        match self.next() {
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some(plain @ ('\\' | '/' | '"' | '\'')) => Ok(plain),
            Some('u') => self.unicode(column),
            Some(_) | None => Self::fail(
                column,
                "unknown escape; known are \\\\ \\\" \\' \\/ \\n \\r \\t \\b \\f \\uXXXX (a backslash itself is \\\\).",
            ),
        }
    }

    fn unicode(&mut self, column: usize) -> Result<char, ConditionError> {
        let mut code = 0_u32;
        for _ in 0..4 {
            let digit = self.next().and_then(|digit| digit.to_digit(16));
            let Some(digit) = digit else { return Self::fail(column, "\\u is followed by four hexadecimal digits.") };
            code = (code << 4) | digit;
        }
        match char::from_u32(code) {
            Some(letter) => Ok(letter),
            None => Self::fail(column, "half of a surrogate pair; write the character itself."),
        }
    }
}
