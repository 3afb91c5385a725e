//! Lines of the audit, read into the story of one request, whose parts have to say the same of who asked for what.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{is_by_policies, is_elevation};
use crate::audit::chain::{Sha256, link};
use crate::audit::{Act, Entry};
use crate::policy::basis::{Document, recorded};
use crate::policy::{Control, Request, Verdict};

/// What policies were asked and answered.
pub(super) struct Decided {
    pub(super) input: Request,
    pub(super) verdict: Verdict,
    pub(super) policies: Vec<String>,
    pub(super) policy_set: String,
    pub(super) documents: Vec<Document>,
}

/// What is on record of one request up to its grant.
pub(super) struct Story<'e> {
    pub(super) id: &'e str,
    pub(super) user: &'e str,
    pub(super) command: &'e [String],
    pub(super) program: &'e str,
    pub(super) until: &'e str,
    pub(super) decided: Decided,
    pub(super) granted: &'e Entry,
    uid: u32,
    asked: &'e Entry,
    decision: &'e Entry,
    entries: Vec<&'e Entry>,
    grantee: (&'e str, &'e [String]),
}

/// Reads lines, of which each has to be as it was written and behind those before it.
pub(super) fn entries(lines: &[impl AsRef<[u8]>], sha256: Sha256) -> Result<Vec<Entry>, Vec<String>> {
    let (mut entries, mut faults, mut last) = (Vec::new(), Vec::new(), 0);
    for (line, number) in lines.iter().map(AsRef::as_ref).zip(1_u64..) {
        match link(line, sha256) {
            None => faults.push(format!("Line {number} was edited: it has another hash than it says.")),
            Some(link) if link.head.sequence <= last => {
                faults.push(format!("Line {number} stands behind a later entry, or is there twice."));
            }
            Some(link) => last = link.head.sequence,
        }
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push(entry),
            Err(error) => faults.push(format!("Line {number} is no entry of an audit: {error}.")),
        }
    }
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

impl<'e> Story<'e> {
    pub(super) fn of(id: &'e str, entries: &'e [Entry]) -> Result<Self, String> {
        let own = || entries.iter().filter(|entry| entry.request.as_deref() == Some(id));
        let asked = only(id, "request", own(), |what| matches!(what, Act::Request { .. }))?;
        let decision = only(id, "decision", own(), |what| matches!(what, Act::Decision { .. }))?;
        let granted = only(id, "grant", own(), |what| matches!(what, Act::Grant { .. }))?;
        let (Act::Request { user, uid, command, .. }, Act::Grant { grant, user: grantee, program, command: of, until }) =
            (&asked.what, &granted.what)
        else {
            return Err(format!("Request {id} is not told as it should be."));
        };
        if grant != id {
            return Err(format!("The grant of request {id} says that it is {grant}."));
        }
        let (decided, entries) = (decided(id, decision)?, own().collect());
        let grantee = (grantee.as_str(), of.as_slice());
        Ok(Self { id, user, command, program, until, decided, granted, uid: *uid, asked, decision, entries, grantee })
    }

    /// All parts say the same.
    pub(super) fn agree(&self) -> Result<(), String> {
        let (input, by) = (&self.decided.input, format!("user:{}", self.user));
        let place = |wanted: &Entry| self.entries.iter().position(|entry| core::ptr::eq(*entry, wanted));
        let places = [place(self.asked), place(self.decision), place(self.granted)];
        let is_last = places.last() == Some(&self.entries.len().checked_sub(1));
        let line = self.command.join(" ");
        for (holds, what) in [
            (self.grantee.0 == self.user && input.user.name == self.user && input.user.uid == self.uid, "who asks"),
            (self.asked.who == by && self.granted.who == by, "who asks"),
            (self.grantee.1 == self.command && input.command_line == line, "the command"),
            (Some(input.arguments.as_slice()) == self.command.get(1..), "the arguments"),
            (input.file_path == self.program, "the program"),
            (is_elevation(input.policy_type), "what it is about"),
            (is_by_policies(self.decision), "who decides"),
            (places.is_sorted() && is_last, "the order of its entries"),
            (
                self.between().all(|entry| entry.who == by || matches!(entry.what, Act::Approval { .. })),
                "who met controls",
            ),
        ] {
            if !holds {
                return Err(format!("The entries of request {} differ in {what}.", self.id));
            }
        }
        Ok(())
    }

    /// What was said between the decision and the grant.
    pub(super) fn between(&self) -> impl Iterator<Item = &'e Entry> {
        let is_said = |entry: &&Entry| matches!(entry.what, Act::Control { .. } | Act::Approval { .. });
        self.entries.iter().copied().filter(is_said)
    }

    /// The grant that stood in for controls, if one did.
    pub(super) fn base(&self) -> Result<Option<&'e str>, String> {
        let grant = |entry: &'e Entry| {
            if let Act::Control { grant, .. } = &entry.what { grant.as_deref() } else { None }
        };
        let mut bases = self.between().filter_map(grant);
        let base = bases.next();
        if bases.all(|other| Some(other) == base) {
            return Ok(base);
        }
        Err(format!("Request {} rests on more than one grant.", self.id))
    }

    /// Controls that it stood in for.
    pub(super) fn covered(&self) -> impl Iterator<Item = (Control, &'e Entry)> {
        self.between().filter_map(|entry| {
            let Act::Control { control, satisfied: true, grant: Some(_), .. } = &entry.what else { return None };
            Some((Control::ALL.into_iter().find(|one| one.as_str() == control)?, entry))
        })
    }
}

/// The one entry of a kind.
fn only<'e>(
    id: &str,
    kind: &str,
    entries: impl Iterator<Item = &'e Entry>,
    is_it: impl Fn(&Act) -> bool,
) -> Result<&'e Entry, String> {
    let mut found = entries.filter(|entry| is_it(&entry.what));
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(format!("There is no {kind} of request {id}.")),
        (Some(_), Some(_)) => Err(format!("There is more than one {kind} of request {id}.")),
    }
}

fn decided(id: &str, entry: &Entry) -> Result<Decided, String> {
    let Act::Decision { decision, controls, policies, input, policy_set, documents, .. } = &entry.what else {
        return Err(format!("There is no decision of request {id}."));
    };
    let policy_set = policy_set.clone().ok_or_else(|| {
        format!("The decision of request {id} does not say what was known then: it is of an older version.")
    })?;
    let (input, verdict) = recorded(decision, controls, input)
        .map_err(|error| format!("The decision of request {id} has another form: {error}."))?;
    Ok(Decided {
        input,
        verdict,
        policies: policies.iter().map(ToString::to_string).collect(),
        policy_set,
        documents: documents.clone(),
    })
}
