//! Policies and collections, compiled once, asked often.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::collection::Collections;
use super::effect::Word;
use super::envelope::{About, Status, told};
use super::evaluate::Evaluation;
use super::filter::{Condition, Facts, Joined, Test};
use super::index::Index;
use super::parse::{Parsed, Policy, parse};
use super::{Control, PolicyId, PolicyType, Request};
use crate::job::finding::{Finding, Findings, Severity};
use crate::json::Json;
use crate::limits::EXPANDED_ENTRIES;

/// A file of policies or collections as it was found.
#[derive(Debug, Clone, Copy)]
pub struct PolicySource<'a> {
    /// Its name without `.json`; what says that a whole folder cannot be read may have any.
    pub name: &'a str,
    /// Its bytes, or a clause why they cannot be read.
    pub content: Result<&'a [u8], &'a str>,
    /// Why nobody may rely on its bytes, in sentences: nobody who counts signed it. It is as one that cannot be read.
    pub distrust: Option<&'a str>,
}

/// A file that cannot be read and may be one that acts: it denies what it may be about.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// What names it: that of its file.
    pub id: PolicyId,
    /// What is wrong, in sentences.
    pub why: String,
    /// The same with the places in it; none where not even its bytes are there.
    pub findings: Findings,
    /// What it is about, where that can be told.
    about: Option<PolicyType>,
}

/// Compiled policies. They stand in the order of their ids, whatever the order of the files.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    pub(super) policies: Vec<Policy>,
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) index: Index,
}

impl PolicySet {
    /// Compiles the files of policies with those of collections.
    pub fn compile(policies: &[PolicySource<'_>], collections: &[PolicySource<'_>]) -> Self {
        let mut set = Self::default();
        let mut known = Collections::default();
        for source in collections {
            let content = source.distrust.map_or(source.content, Err);
            let added = content.map_err(String::from).map(|bytes| known.add(bytes));
            match added {
                Ok(Ok(())) => {}
                // Whoever is missing in it may be denied something by name.
                Ok(Err(findings)) => set.unreadable.push(Unreadable::new(source.name, findings, None)),
                Err(why) => set.unreadable.push(Unreadable::whole(source.name, &why)),
            }
        }
        for source in policies {
            match source.content {
                Ok(bytes) => set.add(source.name, bytes, source.distrust, &known),
                Err(why) => set.unreadable.push(Unreadable::whole(source.name, why)),
            }
        }
        set.policies.sort_by(|one, other| (&one.id, &one.file).cmp(&(&other.id, &other.file)));
        set.bound();
        set.unreadable.sort_by(|one, other| one.id.cmp(&other.id));
        set.index = Index::of(&set.policies);
        set
    }

    fn add(&mut self, file: &str, bytes: &[u8], distrust: Option<&str>, collections: &Collections) {
        let unreadable = match (distrust, parse(bytes, file, collections)) {
            (None, Ok((Parsed::Privileges(policy), _))) => return self.policies.push(*policy),
            (None, Ok((Parsed::Configures | Parsed::NotEnforced, _))) => return,
            (None, Err(findings)) => Unreadable::new(file, findings, None),
            (Some(why), _) => Unreadable::whole(file, why),
        };
        self.unreadable.extend(concern(Some(bytes)).map(|about| Unreadable { about, ..unreadable }));
    }

    /// Gives up the policies beyond what is kept, in their order; those that act deny from then on.
    fn bound(&mut self) {
        let mut entries = 0_usize;
        let mut beyond = Vec::new();
        self.policies.retain(|policy| {
            entries = entries.saturating_add(policy.conditions().map(Condition::size).sum());
            if entries > EXPANDED_ENTRIES && policy.status == Status::Enforce {
                let why =
                    format!("the policies up to it have more than {EXPANDED_ENTRIES} entries with their collections");
                beyond.push(Unreadable::whole(&policy.file, &why));
            }
            entries <= EXPANDED_ENTRIES
        });
        self.unreadable.extend(beyond);
    }

    /// What is answered to a request. Costs no explanation; [`Evaluation::decision`] has it.
    pub fn evaluate<'a>(&'a self, request: &'a Request) -> Evaluation<'a> {
        Evaluation::of(self, request)
    }

    /// The files that deny because they cannot be read.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Whom policies in force ask for a code: accounts that they name, and whether they ask others, too.
    pub fn asked_for_codes(&self) -> (BTreeSet<String>, bool) {
        let (mut names, mut others) = (BTreeSet::new(), false);
        let is_asking = |policy: &&Policy| {
            let effect = policy.effect;
            policy.status == Status::Enforce && effect.has(Word::Require(Control::Mfa)) && !effect.has(Word::Deny)
        };
        for policy in self.policies.iter().filter(is_asking) {
            let mut users = policy.conditions().filter_map(|condition| match &condition.test {
                Test::Users(users) => Some(users),
                Test::Everything
                | Test::Machines(_)
                | Test::Files(_)
                | Test::Folders(_)
                | Test::Commands(_)
                | Test::Expressions(..)
                | Test::Dates(_)
                | Test::Times(_)
                | Test::Days(_)
                | Test::Signers(_) => None,
            });
            match users.next() {
                Some(users) => {
                    names.extend(users.names.iter().cloned());
                    others |= !users.groups.is_empty() || !users.of_domains.is_empty();
                }
                None => others = true,
            }
        }
        (names, others)
    }

    /// How many policies are compiled, those that are off included.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether there is nothing in it, not even a file that cannot be read.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.unreadable.is_empty()
    }
}

/// What a policy that does not count as it is may be about, as far as its bytes tell; `None` where it is not about privileges, or does
/// not act.
fn concern(bytes: Option<&[u8]>) -> Option<Option<PolicyType>> {
    let (about, status) = told(bytes.and_then(|bytes| Json::parse(bytes).ok()).as_ref());
    let about = match about {
        None => None,
        Some(About::Privileges(policy_type)) => Some(policy_type),
        Some(About::Configuration | About::Other) => return None,
    };
    status.is_none_or(|status| status == Status::Enforce).then_some(about)
}

/// Whether a file of policies that does not count as it is denies something; `None` where not even its bytes are there.
pub(crate) fn denies_unread(bytes: Option<&[u8]>) -> bool {
    concern(bytes).is_some()
}

impl Unreadable {
    fn new(file: &str, findings: Findings, about: Option<PolicyType>) -> Self {
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        let told = |finding: &Finding| match finding.path.as_str() {
            "" => finding.message.clone(),
            path => format!("At {path}: {}", finding.message),
        };
        let why: Vec<String> = errors.map(told).collect();
        Self { id: PolicyId::new(file), why: why.join(" "), findings, about }
    }

    fn whole(file: &str, why: &str) -> Self {
        Self { id: PolicyId::new(file), why: crate::why::sentence(why), findings: Findings::new(), about: None }
    }

    /// Whether it may be about such a request.
    pub(super) fn may_concern(&self, asked: PolicyType) -> bool {
        self.about.is_none_or(|about| concerns(about, asked))
    }
}

impl Policy {
    /// Whether it is about requests of this type.
    pub(super) fn concerns(&self, asked: PolicyType) -> bool {
        concerns(self.policy_type, asked)
    }

    /// Whether all of its filters that count hold, as its operator joins them.
    pub(super) fn matches(&self, facts: &Facts<'_>) -> bool {
        let mut rules = self.rules.iter();
        let by_rules = match self.operator {
            _ if self.rules.is_empty() => true,
            Joined::And => rules.all(|condition| condition.holds(facts)),
            Joined::Or => rules.any(|condition| condition.holds(facts)),
        };
        by_rules && self.scope.iter().all(|condition| condition.holds(facts))
    }

    /// All filters that count.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.rules.iter().chain(&self.scope)
    }
}

/// Whether policies of a type are about requests of a type: a command that is to run elevated is a command line, too.
const fn concerns(about: PolicyType, asked: PolicyType) -> bool {
    match (about, asked) {
        (PolicyType::PrivilegeElevation, PolicyType::PrivilegeElevation)
        | (PolicyType::CommandLine, PolicyType::CommandLine | PolicyType::PrivilegeElevation)
        | (PolicyType::FileAccess, PolicyType::FileAccess) => true,
        (PolicyType::PrivilegeElevation, PolicyType::CommandLine | PolicyType::FileAccess)
        | (PolicyType::CommandLine, PolicyType::FileAccess)
        | (PolicyType::FileAccess, PolicyType::PrivilegeElevation | PolicyType::CommandLine) => false,
    }
}
