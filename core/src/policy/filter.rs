//! The filters of policies: what each holds a request against.
//!
//! | filter | holds where | written |
//! | --- | --- | --- |
//! | users | the name equals, or the user is in the group; of `DOMAIN\user` the domain in any case, `.` and the machine's own name for local accounts | `alice`, `CORP\alice`, `@wheel`, `*` |
//! | machines | the host name equals, in any case | `build-7`, `*` |
//! | files | path or file name equal, `*` within one segment | `/usr/bin/*`, `apt`, `{home}/bin/x`, `*` |
//! | folders | the path begins with it | `/opt/tools/` |
//! | commands | program and arguments are those; without arguments any | `systemctl restart nginx*` |
//! | expressions | the command line or the path compares so | `Contains "x"` |
//! | dates, times, days | the local moment is in one of them | |
//! | signers | the file's verified signer is one of them | SHA-1 or SHA-256 of the certificate |
//!
//! An empty list holds for everything. An entry that is a collection's id stands for the members of it.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::moment::{Dates, Moment, Times};
use super::pattern::{Command, Pattern};
use super::{Request, User};

/// A request, prepared once for all policies.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) request: &'a Request,
    pub(crate) file_name: &'a str,
    pub(crate) moment: Moment,
    /// The host name in lower case.
    machine: String,
}

/// One filter of a policy.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    /// Where it stands in the policy, with dots between the names.
    pub(crate) filter: String,
    /// `ErrorMessage` of its rule, or empty.
    pub(crate) message: String,
    pub(crate) test: Test,
    /// What it is held against, as it is written.
    pub(crate) entries: Vec<String>,
}

/// How a filter compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Test {
    /// Its list is empty, or has `*`.
    Everything,
    Users(Users),
    /// Host names in lower case.
    Machines(BTreeSet<String>),
    Files(Files),
    Folders(Vec<Pattern>),
    Commands(Vec<Command>),
    Expressions(Joined, Vec<Expression>),
    Dates(Vec<Dates>),
    Times(Vec<Times>),
    /// By number of the day; 0 is Sunday.
    Days(BTreeSet<u32>),
    /// Thumbprints in lower case.
    Signers(BTreeSet<String>),
}

/// Whether all have to hold, or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Joined {
    #[default]
    And,
    Or,
}

/// Accounts and groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Users {
    pub(crate) names: BTreeSet<String>,
    pub(crate) groups: BTreeSet<String>,
    /// Domain and account.
    pub(crate) of_domains: BTreeSet<(String, String)>,
}

/// Paths and file names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Files {
    /// Without wildcard and variable: paths begin with `/`, file names do not.
    pub(crate) literal: BTreeSet<String>,
    pub(crate) patterns: Vec<Pattern>,
}

/// A comparison with the command line and the file's path; it holds where it does for either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression {
    pub(crate) compare: Compare,
    pub(crate) value: String,
}

/// How an expression compares, letter for letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Contains,
    Equals,
    StartsWith,
    EndsWith,
}

/// `Type` of expressions.
pub(crate) const COMPARISONS: [(&str, Compare); 4] = [
    ("Contains", Compare::Contains),
    ("Equals", Compare::Equals),
    ("StartsWith", Compare::StartsWith),
    ("EndsWith", Compare::EndsWith),
];

impl<'a> Facts<'a> {
    pub(crate) fn of(request: &'a Request) -> Self {
        let file_name = request.file_path.rsplit('/').next().unwrap_or_default();
        Self { request, file_name, moment: request.at.moment(), machine: request.machine.to_ascii_lowercase() }
    }
}

impl Condition {
    /// Whether it holds for a request.
    pub(crate) fn holds(&self, facts: &Facts<'_>) -> bool {
        self.test.holds(facts)
    }

    /// Entries that it keeps.
    pub(crate) fn size(&self) -> usize {
        match &self.test {
            Test::Users(Users { names, groups, of_domains }) => {
                names.len().saturating_add(groups.len()).saturating_add(of_domains.len())
            }
            Test::Machines(texts) | Test::Signers(texts) => texts.len(),
            Test::Files(files) => files.literal.len().saturating_add(files.patterns.len()),
            Test::Folders(folders) => folders.len(),
            Test::Commands(commands) => commands.len(),
            Test::Everything | Test::Expressions(..) | Test::Dates(_) | Test::Times(_) | Test::Days(_) => 1,
        }
    }

    /// What it looks at in a request, for people.
    pub(crate) fn asked(&self, facts: &Facts<'_>) -> String {
        let request = facts.request;
        match &self.test {
            Test::Everything => String::new(),
            Test::Users(_) => shown_user(&request.user),
            Test::Machines(_) => request.machine.clone(),
            Test::Files(_) | Test::Folders(_) => request.file_path.clone(),
            Test::Commands(_) => alloc::format!("{} {}", request.file_path, request.arguments.join(" ")),
            Test::Expressions(..) => request.command_line.clone(),
            Test::Dates(_) | Test::Times(_) => request.at.to_string(),
            Test::Days(_) => alloc::format!("{} ({})", facts.moment.day, request.at),
            Test::Signers(_) => match &request.signer {
                Some(signer) => signer.sha256.clone(),
                None => String::from("no signature that counts (castellan trust check says why)"),
            },
        }
    }
}

impl Test {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Users(users) => users.has(&facts.request.user, &facts.machine),
            Self::Machines(names) => names.contains(&facts.machine),
            Self::Files(files) => files.has(facts),
            Self::Folders(folders) => folders.iter().any(|folder| folder.leads_to(facts)),
            Self::Commands(commands) => commands.iter().any(|command| command.matches(facts)),
            Self::Expressions(Joined::And, all) => all.iter().all(|one| one.holds(facts)),
            Self::Expressions(Joined::Or, all) => all.iter().any(|one| one.holds(facts)),
            Self::Dates(dates) => dates.iter().any(|span| span.contains(facts.moment)),
            Self::Times(times) => times.iter().any(|span| span.contains(facts.moment)),
            Self::Days(days) => days.contains(&facts.moment.day),
            Self::Signers(pins) => {
                let signer = facts.request.signer.as_ref();
                signer.is_some_and(|signer| pins.contains(&signer.sha1) || pins.contains(&signer.sha256))
            }
        }
    }

    /// Whether no request can meet it.
    pub(crate) fn is_impossible(&self) -> bool {
        match self {
            Self::Dates(dates) => dates.iter().all(|span| span.is_empty()),
            Self::Times(times) => times.iter().all(|span| span.is_empty()),
            Self::Files(files) => files.literal.is_empty() && files.patterns.is_empty(),
            Self::Folders(folders) => folders.is_empty(),
            Self::Commands(commands) => commands.is_empty(),
            Self::Machines(names) => names.is_empty(),
            Self::Users(users) => *users == Users::default(),
            Self::Everything | Self::Expressions(..) | Self::Days(_) | Self::Signers(_) => false,
        }
    }

    /// Whether it is certain that this holds wherever the other does.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everything, _) => true,
            (Self::Users(wide), Self::Users(narrow)) => {
                wide.names.is_superset(&narrow.names)
                    && wide.groups.is_superset(&narrow.groups)
                    && wide.of_domains.is_superset(&narrow.of_domains)
            }
            (Self::Machines(wide), Self::Machines(narrow)) => wide.is_superset(narrow),
            (Self::Signers(wide), Self::Signers(narrow)) => wide.is_superset(narrow),
            (Self::Days(wide), Self::Days(narrow)) => wide.is_superset(narrow),
            (Self::Files(wide), Self::Files(narrow)) => {
                wide.literal.is_superset(&narrow.literal)
                    && narrow.patterns.iter().all(|pattern| wide.patterns.contains(pattern))
            }
            _ => self == other,
        }
    }
}

impl Users {
    fn has(&self, user: &User, machine: &str) -> bool {
        self.names.contains(&user.name)
            || self.of_domains.iter().any(|(domain, account)| is_of_domain(domain, account, &user.name, machine))
            || self.is_in_group(&user.groups)
    }

    /// Goes through the shorter of both lists.
    fn is_in_group(&self, groups: &BTreeSet<String>) -> bool {
        if self.groups.len() < groups.len() {
            self.groups.iter().any(|group| groups.contains(group))
        } else {
            groups.iter().any(|group| self.groups.contains(group))
        }
    }
}

/// The account of a user's name, without its domain.
pub(crate) fn account_of(user: &str) -> &str {
    user.split_once('\\').map_or(user, |(_, account)| account)
}

fn is_of_domain(domain: &str, account: &str, user: &str, machine: &str) -> bool {
    match user.split_once('\\') {
        Some((its_domain, name)) => its_domain.eq_ignore_ascii_case(domain) && name == account,
        None => (domain == "." || domain.eq_ignore_ascii_case(machine)) && user == account,
    }
}

impl Files {
    fn has(&self, facts: &Facts<'_>) -> bool {
        self.literal.contains(&facts.request.file_path)
            || self.literal.contains(facts.file_name)
            || self.patterns.iter().any(|pattern| pattern.matches(facts))
    }
}

impl Expression {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        let value = self.value.as_str();
        [&facts.request.command_line, &facts.request.file_path].into_iter().any(|text| match self.compare {
            Compare::Contains => text.contains(value),
            Compare::Equals => text == value,
            Compare::StartsWith => text.starts_with(value),
            Compare::EndsWith => text.ends_with(value),
        })
    }
}

/// Groups of a user that are shown; some directories have hundreds.
const SHOWN_GROUPS: usize = 20;

fn shown_user(user: &User) -> String {
    let mut shown = user.name.to_string();
    for group in user.groups.iter().take(SHOWN_GROUPS) {
        shown.push_str(" @");
        shown.push_str(group);
    }
    if user.groups.len() > SHOWN_GROUPS {
        shown.push_str(" …");
    }
    shown
}
