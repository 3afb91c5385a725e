//! Policies about privileges: who may run or open what, under which controls (seed 004, "End-to-End Flow Example").
//!
//! A [`PolicySet`] is compiled once and asked often. It answers [`Verdict::Allow`], [`Verdict::Deny`], or [`Verdict::Pending`] with the
//! controls that have to be met first. It only decides: nothing is asked for, recorded or launched here.
//!
//! ```text
//! enforced policies that match                answer
//! ------------------------------------------  ---------------------------------------------------
//! one that cannot be read, or may be one      Deny
//! any with DENY                               Deny
//! any with MFA, JUSTIFY or APPROVAL           Pending: all of them; APPROVAL brings JUSTIFY along
//! any with ALLOW                              Allow
//! none, or only AUDIT, NOTIFY, RECORD         Deny
//! ```
//!
//! | part | does |
//! | --- | --- |
//! | `request`, `decision` | what is asked, what is answered |
//! | `envelope` | what every policy has, also those that configure: type, status, extension |
//! | `parse` | a document to a policy, with findings |
//! | `filter`, `pattern`, `moment` | the filters, and how each compares |
//! | `collection`, `effect` | names for lists; what controls amount to |
//! | `set`, `index` | policies and collections, compiled; which of them a request may meet at all |
//! | `evaluate`, `explain` | a request to a decision; why, and what would change it |
//! | `lint` | what cannot match, is in vain, or contradicts itself |
//! | `what_if` | recorded decisions by other policies |
//! | `message`, `basis` | the question and the answer on `KeeperPolicy`; what the answer rests on |
//!
//! Never: a different answer for another order of files; a looser answer for one DENY more; an answer that `off` or `monitor` changes.

pub mod basis;
mod collection;
mod decision;
pub(crate) mod effect;
pub(crate) mod envelope;
mod evaluate;
mod explain;
pub(crate) mod filter;
mod index;
pub mod lint;
pub mod message;
mod moment;
pub(crate) mod parse;
mod pattern;
mod request;
mod set;
pub mod what_if;

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

pub use collection::{COLLECTIONS, Collections};
pub use decision::{Approvers, Change, Compared, Considered, Decision, Explanation, Notice, Standing};
pub use evaluate::Evaluation;
pub use request::{LocalTime, Request, Signer, User, words};
pub(crate) use set::denies_unread;
pub use set::{PolicySet, PolicySource, Unreadable};

/// What a policy decides about; of other types none is evaluated on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyType {
    /// To run a program with more privileges. Policies of the type `CommandLine` count here, too.
    PrivilegeElevation,
    /// To run a command line.
    CommandLine,
    /// To open a file. Only decided here, not enforced.
    FileAccess,
}

/// What has to be met before an action goes on, in the order in which it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Control {
    /// A second factor.
    Mfa,
    /// A reason in words.
    Justify,
    /// The consent of others.
    Approval,
}

/// What is answered. Serialized as `Decision` and `Controls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Answered", try_from = "Answered")]
pub enum Verdict {
    /// Go on.
    Allow,
    /// No.
    Deny,
    /// Go on once these are met; never empty.
    Pending(BTreeSet<Control>),
}

impl Verdict {
    /// [`Self::Allow`], as messages have it.
    pub const ALLOW: &'static str = "ALLOW";
    /// [`Self::Deny`], as messages have it.
    pub const DENY: &'static str = "DENY";
    /// [`Self::Pending`], as messages have it.
    pub const PENDING: &'static str = "PENDING";

    /// As messages have it, without what is to be met.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Allow => Self::ALLOW,
            Self::Deny => Self::DENY,
            Self::Pending(_) => Self::PENDING,
        }
    }
}

/// [`Verdict`] as messages have it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answered {
    decision: Answer,
    #[serde(default)]
    controls: BTreeSet<Control>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Answer {
    Allow,
    Deny,
    Pending,
}

/// What names a policy: its `PolicyId`, or the name of its file where it has none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyId(String);

impl Control {
    /// All of them, in the order in which they are met.
    pub const ALL: [Self; 3] = [Self::Mfa, Self::Justify, Self::Approval];

    /// The name as policies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mfa => "MFA",
            Self::Justify => "JUSTIFY",
            Self::Approval => "APPROVAL",
        }
    }
}

impl PolicyType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PrivilegeElevation, Self::CommandLine, Self::FileAccess];

    /// The name as policies and messages write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrivilegeElevation => "PrivilegeElevation",
            Self::CommandLine => "CommandLine",
            Self::FileAccess => "FileAccess",
        }
    }

    /// Reads a name in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(name))
    }
}

impl PolicyId {
    /// The id that a text is.
    pub fn new(text: &str) -> Self {
        Self(text.to_string())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `ALLOW`, `DENY`, or `PENDING (MFA, JUSTIFY)`.
impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => formatter.write_str("ALLOW"),
            Self::Deny => formatter.write_str("DENY"),
            Self::Pending(controls) => {
                let names: Vec<&str> = controls.iter().map(|control| control.as_str()).collect();
                write!(formatter, "PENDING ({})", names.join(", "))
            }
        }
    }
}

impl From<Verdict> for Answered {
    fn from(verdict: Verdict) -> Self {
        let (decision, controls) = match verdict {
            Verdict::Allow => (Answer::Allow, BTreeSet::new()),
            Verdict::Deny => (Answer::Deny, BTreeSet::new()),
            Verdict::Pending(controls) => (Answer::Pending, controls),
        };
        Self { decision, controls }
    }
}

impl TryFrom<Answered> for Verdict {
    type Error = &'static str;

    fn try_from(Answered { decision, controls }: Answered) -> Result<Self, Self::Error> {
        match (decision, controls.is_empty()) {
            (Answer::Pending, true) => Err("PENDING without a control is no decision"),
            (Answer::Pending, false) => Ok(Self::Pending(controls)),
            (Answer::Allow, true) => Ok(Self::Allow),
            (Answer::Allow, false) => Err("ALLOW with controls that are to be met is no decision"),
            (Answer::Deny, _) => Ok(Self::Deny),
        }
    }
}
