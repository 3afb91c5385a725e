//! What the objects of documents may hold. A parser reads an object by its table ([`crate::json::read::ObjectReader`]) and takes bounds and
//! defaults from it; [`crate::schema`] prints the same table. So a key, a bound, a default or a spelling stands in one place. What a table
//! cannot say (a route leads to a task that exists) only the parser checks.

use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

/// The members of one kind of object.
#[derive(Debug)]
pub(crate) struct Object {
    /// What it is called below `$defs`.
    pub(crate) name: &'static str,
    /// What it is, for people.
    pub(crate) doc: &'static str,
    /// Its keys, in the order in which people write them.
    pub(crate) keys: &'static [Key],
    /// What holds between them.
    pub(crate) rules: &'static [Rule],
    /// What other keys mean.
    pub(crate) others: Others,
}

/// What a key means that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// It is kept, and noted.
    Kept,
    /// It is an error; keys are read in any case.
    Refused,
    /// It is an error; keys are read as they are spelled.
    RefusedExactly,
}

/// One key of an object.
#[derive(Debug)]
pub(crate) struct Key {
    /// As the documentation spells it.
    pub(crate) name: &'static str,
    /// Other documented spellings and names.
    pub(crate) also: &'static [&'static str],
    /// What its value may be.
    pub(crate) shape: Shape,
    /// Whether it must be given.
    pub(crate) required: bool,
    /// Whether `null` means that it is not given.
    pub(crate) nullable: bool,
    /// What counts where it is not given.
    pub(crate) default: Option<Literal>,
    /// What it means, for people.
    pub(crate) doc: &'static str,
}

/// A default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Literal {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(&'static str),
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// `null`.
    Null,
    /// True or false.
    Boolean,
    /// A whole number from the first to the second.
    Integer(i64, i64),
    /// A number, a text, true or false.
    Scalar,
    /// A text.
    Text(Text),
    /// One of some names, in any case.
    Choice(&'static dyn Names),
    /// One of some names, as they are spelled.
    Exactly(&'static dyn Names),
    /// A list of a shape, with its least and most entries.
    List(&'static Self, (usize, usize)),
    /// An object of a table.
    Object(&'static Object),
    /// An object with free names that match a pattern, and values of one shape.
    Map(&'static str, &'static Self),
    /// One of several shapes.
    AnyOf(&'static [Self]),
    /// A shape that has a name of its own below `$defs`.
    Named(&'static Named),
}

/// A shape with a name.
#[derive(Debug)]
pub(crate) struct Named {
    /// What it is called below `$defs`.
    pub(crate) name: &'static str,
    /// What it is, for people.
    pub(crate) doc: &'static str,
    /// The shape.
    pub(crate) shape: Shape,
}

/// What a text looks like. Patterns are ECMA 262 and say only what is certain: a text that one refuses is refused by the parser too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    /// A regular expression, or empty.
    pub(crate) pattern: &'static str,
    /// A format of JSON Schema, or empty.
    pub(crate) format: &'static str,
    /// Least and most characters.
    pub(crate) length: (usize, usize),
    /// An example, or empty.
    pub(crate) example: &'static str,
}

/// What holds between the keys of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// Exactly one of them is given.
    ExactlyOne(&'static [&'static str]),
    /// Where the key has this value (in any case), the one list is required, else the other.
    Where(&'static str, &'static str, &'static [&'static str], &'static [&'static str]),
    /// The key is required, unless the object is an excerpt: exactly these keys.
    RequiredBeyond(&'static str, &'static [&'static str]),
}

/// The names of a choice, whatever they stand for.
pub(crate) trait Names: fmt::Debug + Sync {
    /// The names, in order.
    fn names(&self) -> Vec<&'static str>;
}

impl<T: fmt::Debug + Sync, const N: usize> Names for [(&'static str, T); N] {
    fn names(&self) -> Vec<&'static str> {
        self.iter().map(|(name, _)| *name).collect()
    }
}

impl<const N: usize> Names for [&'static str; N] {
    fn names(&self) -> Vec<&'static str> {
        self.to_vec()
    }
}

impl Object {
    /// The key that a name, in any case, means.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.names().any(|known| known.eq_ignore_ascii_case(name)))
    }

    /// All names of all keys; spellings that differ by case alone once.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let other =
            |key: &'static Key| key.names().filter(|name| *name == key.name || !name.eq_ignore_ascii_case(key.name));
        self.keys.iter().flat_map(other).collect()
    }

    /// The whole numbers that a key may have.
    pub(crate) fn range(&self, name: &str) -> RangeInclusive<i64> {
        match self.key(name).map(|key| key.shape) {
            Some(Shape::Integer(low, high)) => low..=high,
            shape => {
                debug_assert!(false, "'{name}' of {} is {shape:?}, no whole number", self.name);
                i64::MIN..=i64::MAX
            }
        }
    }

    /// What counts where a key is not given.
    pub(crate) fn default_of(&self, name: &str) -> Option<Literal> {
        let default = self.key(name).and_then(|key| key.default);
        debug_assert!(default.is_some(), "'{name}' of {} has no default", self.name);
        default
    }
}

impl Key {
    /// An optional key.
    pub(crate) const fn new(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { name, also: &[], shape, required: false, nullable: true, default: None, doc }
    }

    /// A key that must be given.
    pub(crate) const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { required: true, nullable: false, ..Self::new(name, shape, doc) }
    }

    /// An optional boolean.
    pub(crate) const fn flag(name: &'static str, default: bool, doc: &'static str) -> Self {
        Self { default: Some(Literal::Boolean(default)), ..Self::new(name, Shape::Boolean, doc) }
    }

    /// An optional whole number.
    pub(crate) const fn number(name: &'static str, range: (i64, i64), default: i64, doc: &'static str) -> Self {
        let shape = Shape::Integer(range.0, range.1);
        Self { default: Some(Literal::Integer(default)), ..Self::new(name, shape, doc) }
    }

    /// An optional text or choice.
    pub(crate) const fn defaulting(name: &'static str, shape: Shape, default: &'static str, doc: &'static str) -> Self {
        Self { default: Some(Literal::Text(default)), ..Self::new(name, shape, doc) }
    }

    /// The same under other spellings and names, too.
    pub(crate) const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    /// The same where `null` is a wrong type.
    pub(crate) const fn never_null(self) -> Self {
        Self { nullable: false, ..self }
    }

    /// Its documented names, the first one first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        core::iter::once(self.name).chain(self.also.iter().copied())
    }
}

impl Text {
    /// Any text.
    pub(crate) const ANY: Self = Self { pattern: "", format: "", length: (0, usize::MAX), example: "" };

    /// A text that matches a regular expression.
    pub(crate) const fn like(pattern: &'static str) -> Self {
        Self { pattern, ..Self::ANY }
    }

    /// The same with an example.
    pub(crate) const fn such_as(self, example: &'static str) -> Self {
        Self { example, ..self }
    }
}

impl Shape {
    /// Any text.
    pub(crate) const TEXT: Self = Self::Text(Text::ANY);
    /// A text that is not empty.
    pub(crate) const NAME: Self = Self::Text(Text { length: (1, usize::MAX), ..Text::ANY });
    /// An instant of RFC 3339.
    pub(crate) const INSTANT: Self =
        Self::Text(Text { format: "date-time", example: "2026-12-24T02:00:00Z", ..Text::ANY });

    /// A text that matches a regular expression.
    pub(crate) const fn like(pattern: &'static str) -> Self {
        Self::Text(Text::like(pattern))
    }
}
