//! Expressions to trees, by recursive descent of bounded depth.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use super::lexer::{Token, Word, words};
use super::{Comparison, ConditionError, Expression, Operand, joined};
use crate::job::finding::quote;
use crate::limits::CONDITION_DEPTH;
use crate::regular::Regular;

type Parsed<T> = Result<T, ConditionError>;

/// Parses `text`, which stands `depth` levels deep in a structured condition.
pub(super) fn parse(text: &str, depth: usize) -> Parsed<Expression> {
    let end = text.chars().count().saturating_add(1);
    let mut parser = Parser { words: words(text)?.into_iter().peekable(), end, depth };
    let expression = parser.or()?;
    match parser.words.next() {
        None => Ok(expression),
        Some(word) => {
            fail(word.column, format!("{} is too much here; expected &&, || or the end.", shown(&word.token)))
        }
    }
}

struct Parser {
    words: core::iter::Peekable<alloc::vec::IntoIter<Word>>,
    end: usize,
    depth: usize,
}

fn fail<T>(column: usize, message: impl Into<String>) -> Parsed<T> {
    Err(ConditionError { column, message: message.into() })
}

impl Parser {
    fn column(&mut self) -> usize {
        self.words.peek().map_or(self.end, |word| word.column)
    }

    fn follows(&mut self, token: &Token) -> bool {
        self.words.next_if(|word| word.token == *token).is_some()
    }

    fn or(&mut self) -> Parsed<Expression> {
        self.chain(&Token::Or, Self::and, Expression::Or)
    }

    fn and(&mut self) -> Parsed<Expression> {
        self.chain(&Token::And, Self::not, Expression::And)
    }

    fn chain(
        &mut self,
        separator: &Token,
        part: fn(&mut Self) -> Parsed<Expression>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Parsed<Expression> {
        let mut parts = Vec::from([part(self)?]);
        while self.follows(separator) {
            parts.push(part(self)?);
        }
        let column = self.column();
        joined(parts, join).map_or_else(|| fail(column, "expected a condition."), Ok)
    }

    fn not(&mut self) -> Parsed<Expression> {
        let column = self.column();
        if self.follows(&Token::Not) {
            return self.deeper(column, |parser| parser.not().map(|inner| Expression::Not(Box::new(inner))));
        }
        if self.follows(&Token::Open) {
            let inner = self.deeper(column, Self::or)?;
            self.close(column)?;
            return Ok(inner);
        }
        if self.follows(&Token::Exists) {
            return self.exists();
        }
        self.term()
    }

    fn deeper<T>(&mut self, column: usize, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > CONDITION_DEPTH {
            return fail(column, format!("conditions are nested more than {CONDITION_DEPTH} deep."));
        }
        let parsed = inner(self);
        self.depth = self.depth.saturating_sub(1);
        parsed
    }

    fn close(&mut self, opened: usize) -> Parsed<()> {
        if self.follows(&Token::Close) {
            return Ok(());
        }
        let column = self.column();
        fail(column, format!("expected ')' for the '(' in column {opened}."))
    }

    /// `exists Name` or `exists(Name)`.
    fn exists(&mut self) -> Parsed<Expression> {
        let column = self.column();
        let open = self.follows(&Token::Open);
        let Some(Word { token: Token::Name(name), .. }) = self.words.next() else {
            return fail(column, "'exists' is followed by a name.");
        };
        if open {
            self.close(column)?;
        }
        Ok(Expression::Exists(name))
    }

    fn term(&mut self) -> Parsed<Expression> {
        let column = self.column();
        let left = self.operand()?;
        match self.words.peek().map(|word| word.token.clone()) {
            Some(Token::Compare(comparison)) => {
                self.words.next();
                let column = self.column();
                let right = self.operand()?;
                if comparison == Comparison::In
                    && !matches!(right, Operand::Name(_) | Operand::Literal(Value::Array(_)))
                {
                    return fail(column, "'in' is followed by a list, [\"a\", \"b\"], or the name of one.");
                }
                Ok(Expression::Compare(left, comparison, right))
            }
            Some(Token::Matches) => {
                self.words.next();
                self.matches(left)
            }
            Some(Token::Exists) => match left {
                Operand::Name(name) => {
                    self.words.next();
                    Ok(Expression::Exists(name))
                }
                Operand::Literal(_) => fail(column, "'exists' asks for a name."),
            },
            _ => match left {
                Operand::Name(_) | Operand::Literal(Value::Bool(_)) => Ok(Expression::Truth(left)),
                Operand::Literal(_) => {
                    let column = self.column();
                    fail(column, "a value alone is no condition; expected an operator such as == behind it.")
                }
            },
        }
    }

    fn matches(&mut self, left: Operand) -> Parsed<Expression> {
        let column = self.column();
        let Some(Word { token: Token::Literal(Value::String(source)), .. }) = self.words.next() else {
            return fail(column, "'matches' is followed by a regular expression in quotation marks.");
        };
        match Regular::compile(&source) {
            Ok(pattern) => Ok(Expression::Matches(left, pattern)),
            Err(message) => fail(column, message),
        }
    }

    fn operand(&mut self) -> Parsed<Operand> {
        let column = self.column();
        match self.words.next().map(|word| word.token) {
            Some(Token::Name(name)) => Ok(Operand::Name(name)),
            Some(Token::Literal(value)) => Ok(Operand::Literal(value)),
            Some(Token::OpenList) => self.list().map(|items| Operand::Literal(Value::Array(items))),
            Some(other) => fail(column, format!("{} cannot stand here; expected a name or a value.", shown(&other))),
            None => fail(column, "the condition ends here; expected a name or a value."),
        }
    }

    /// Literals up to the closing bracket.
    fn list(&mut self) -> Parsed<Vec<Value>> {
        let mut items = Vec::new();
        if self.follows(&Token::CloseList) {
            return Ok(items);
        }
        loop {
            let column = self.column();
            let Some(Word { token: Token::Literal(value), .. }) = self.words.next() else {
                return fail(column, "a list holds texts, numbers, true, false and null, with commas between.");
            };
            items.push(value);
            if self.follows(&Token::CloseList) {
                return Ok(items);
            }
            if !self.follows(&Token::Comma) {
                let column = self.column();
                return fail(column, "expected ',' or ']' in the list.");
            }
        }
    }
}

/// A word as messages show it.
fn shown(token: &Token) -> String {
    let text = match token {
        Token::Name(name) if ["and", "or", "not"].iter().any(|word| word.eq_ignore_ascii_case(name)) => {
            return format!("{} (write &&, || or !)", quote(name));
        }
        Token::Name(name) => name,
        Token::Literal(value) => return quote(&format!("{value}")),
        Token::Compare(comparison) => comparison.symbol(),
        Token::Matches => "matches",
        Token::Exists => "exists",
        Token::Not => "!",
        Token::And => "&&",
        Token::Or => "||",
        Token::Open => "(",
        Token::Close => ")",
        Token::OpenList => "[",
        Token::CloseList => "]",
        Token::Comma => ",",
    };
    quote(text)
}
