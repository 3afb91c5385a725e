//! What the controls of policies amount to: one policy's, and those of all that match, counted.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Control, Verdict};

/// The controls as policies write them.
pub(crate) const CONTROLS: [(&str, Word); 8] = [
    ("ALLOW", Word::Allow),
    ("DENY", Word::Deny),
    ("NOTIFY", Word::Notify),
    ("MFA", Word::Require(Control::Mfa)),
    ("JUSTIFY", Word::Require(Control::Justify)),
    ("APPROVAL", Word::Require(Control::Approval)),
    ("AUDIT", Word::Audit),
    ("RECORD", Word::Record),
];

/// One entry of `Controls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    /// It goes on.
    Allow,
    /// It does not.
    Deny,
    /// It goes on once this is met.
    Require(Control),
    /// The user is told.
    Notify,
    /// It is audited.
    Audit,
    /// It is recorded.
    Record,
}

/// The controls of one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Effect(u8);

/// How many of the policies that match have each control that counts, and how many deny because they cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    unreadable: u32,
    deny: u32,
    allow: u32,
    required: [u32; 3],
}

impl Effect {
    const fn bit(word: Word) -> u8 {
        match word {
            Word::Allow => 1,
            Word::Deny => 1 << 1,
            Word::Require(Control::Mfa) => 1 << 2,
            Word::Require(Control::Justify) => 1 << 3,
            Word::Require(Control::Approval) => 1 << 4,
            Word::Notify => 1 << 5,
            Word::Audit => 1 << 6,
            Word::Record => 1 << 7,
        }
    }

    pub(crate) fn of(words: impl IntoIterator<Item = Word>) -> Self {
        Self(words.into_iter().fold(0, |bits, word| bits | Self::bit(word)))
    }

    pub(crate) const fn has(self, word: Word) -> bool {
        self.0 & Self::bit(word) != 0
    }

    /// Whether it requires something.
    pub(crate) const fn requires(self) -> bool {
        self.has(Word::Require(Control::Mfa))
            || self.has(Word::Require(Control::Justify))
            || self.has(Word::Require(Control::Approval))
    }

    /// The controls as policies write them, in the documented order.
    pub(crate) fn names(self) -> Vec<String> {
        CONTROLS.iter().filter(|(_, word)| self.has(*word)).map(|(name, _)| (*name).to_string()).collect()
    }
}

impl Tally {
    /// What one policy alone amounts to.
    pub(crate) fn of(effect: Effect) -> Self {
        Self::default().with(effect)
    }

    /// One more policy that matches.
    #[must_use]
    pub(crate) fn with(self, effect: Effect) -> Self {
        self.changed(effect, |count| count.saturating_add(1))
    }

    /// One less of those that match.
    #[must_use]
    pub(crate) fn without(self, effect: Effect) -> Self {
        self.changed(effect, |count| count.saturating_sub(1))
    }

    /// One more that cannot be read.
    #[must_use]
    pub(crate) const fn with_unreadable(self) -> Self {
        Self { unreadable: self.unreadable.saturating_add(1), ..self }
    }

    /// One less of those.
    #[must_use]
    pub(crate) const fn without_unreadable(self) -> Self {
        Self { unreadable: self.unreadable.saturating_sub(1), ..self }
    }

    fn changed(self, effect: Effect, change: impl Fn(u32) -> u32) -> Self {
        let count = |word: Word, count: u32| if effect.has(word) { change(count) } else { count };
        let [mfa, justify, approval] = self.required;
        Self {
            unreadable: self.unreadable,
            deny: count(Word::Deny, self.deny),
            allow: count(Word::Allow, self.allow),
            required: [
                count(Word::Require(Control::Mfa), mfa),
                count(Word::Require(Control::Justify), justify),
                count(Word::Require(Control::Approval), approval),
            ],
        }
    }

    /// What they amount to together.
    pub(crate) fn verdict(self) -> Verdict {
        let [mfa, justify, approval] = self.required;
        let required = [
            (Control::Mfa, mfa > 0),
            (Control::Justify, justify > 0 || approval > 0),
            (Control::Approval, approval > 0),
        ];
        let required: BTreeSet<Control> =
            required.into_iter().filter(|(_, is)| *is).map(|(control, _)| control).collect();
        if self.unreadable > 0 || self.deny > 0 {
            Verdict::Deny
        } else if !required.is_empty() {
            Verdict::Pending(required)
        } else if self.allow > 0 {
            Verdict::Allow
        } else {
            Verdict::Deny
        }
    }

    /// How many cannot be read.
    pub(crate) const fn unreadable(self) -> u32 {
        self.unreadable
    }

    /// Whether any denies by its controls.
    pub(crate) const fn denies(self) -> bool {
        self.deny > 0
    }
}
