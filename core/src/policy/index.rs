//! Which policies of a set may match a request at all, found by the names that they ask for, so that the others need no look.
//!
//! A policy that has to match by a list of files without patterns is found by these, else by its users and groups; one that has neither
//! is always looked at. What is found still has to match: the index leaves out, it never lets in.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::filter::{Condition, Facts, Files, Joined, Test, Users, account_of};
use super::parse::Policy;

/// Places of policies in their set, by what a request has to name.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// By path or file name.
    by_file: Places,
    /// By account, without its domain.
    by_account: Places,
    by_group: Places,
    /// Those to look at in any case.
    always: Vec<usize>,
}

type Places = BTreeMap<String, Vec<usize>>;

impl Index {
    pub(super) fn of(policies: &[Policy]) -> Self {
        let mut index = Self::default();
        for (place, policy) in policies.iter().enumerate() {
            index.add(place, policy);
        }
        index
    }

    fn add(&mut self, place: usize, policy: &Policy) {
        let tests = || required(policy).map(|condition| &condition.test);
        let note = |places: &mut Places, name: &String| places.entry(name.clone()).or_default().push(place);
        if let Some(names) = tests().find_map(file_names) {
            names.iter().for_each(|name| note(&mut self.by_file, name));
        } else if let Some(users) = tests().find_map(users) {
            let Users { names, groups, of_domains } = users;
            let accounts: BTreeSet<&String> = of_domains.iter().map(|(_, account)| account).chain(names).collect();
            accounts.into_iter().for_each(|account| note(&mut self.by_account, account));
            groups.iter().for_each(|group| note(&mut self.by_group, group));
        } else {
            self.always.push(place);
        }
    }

    /// The places to look at, in order.
    pub(super) fn candidates(&self, facts: &Facts<'_>) -> Vec<usize> {
        let request = facts.request;
        let by_file = [request.file_path.as_str(), facts.file_name].map(|name| self.by_file.get(name));
        let by_account = self.by_account.get(account_of(&request.user.name));
        let by_group = request.user.groups.iter().filter_map(|group| self.by_group.get(group));
        let found = by_file.into_iter().flatten().chain(by_account).chain(by_group).flatten();
        let mut places: Vec<usize> = found.chain(&self.always).copied().collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// The filters without which a policy does not match.
fn required(policy: &Policy) -> impl Iterator<Item = &Condition> {
    let rules = match policy.operator {
        Joined::And => policy.rules.as_slice(),
        Joined::Or => &[],
    };
    rules.iter().chain(&policy.scope)
}

fn file_names(test: &Test) -> Option<&BTreeSet<String>> {
    let Test::Files(Files { literal, patterns }) = test else { return None };
    patterns.is_empty().then_some(literal)
}

fn users(test: &Test) -> Option<&Users> {
    let Test::Users(users) = test else { return None };
    Some(users)
}
