//! Last Known Good over the API: what is blessed, what differs, and what becomes blessed (contract section 8).
//!
//! Only the store knows versions, files and what was moved away; so most answers wait for it. Its answers come back to the [`Asked`]
//! that they were asked for.

mod shown;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::Agent;
use super::answers::{Pending, not_on_disk, not_written};
use super::callers::Caller;
use super::lkg::State;
use super::requests::respond;
use crate::api::route::Target;
use crate::api::route::lkg::Lkg;
use crate::api::view::lkg::{LkgDiff, LkgQuarantined, LkgRekeyed};
use crate::api::{ApiRequest, ApiResponse, Conditions};
use crate::effect::{Effects, StoreOrder};
use crate::event::{DefinitionFile, DefinitionKind};
use crate::id::{RequestId, TicketId};
use crate::job::finding::{Findings, quote};
use crate::lkg::{
    DefinitionChange, Document, Former, FoundDocument, Item, NotWritten, ReferenceQuery, ReferencesFound, diff,
};
use crate::log_message::Level;
use crate::plugin::PluginDefinition;
use crate::time::Now;
use crate::why::Explanation;
use shown::unknown;

/// What a request wants of the store.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: RequestId,
    wants: Wants,
}

impl Asked {
    /// What was under way, for who waits for it while the agent stops.
    pub(super) const fn under_way(&self) -> &'static str {
        match self.wants {
            Wants::Blessed(..) => "The definition was being written.",
            Wants::Rekey => "The references were being sealed again.",
            Wants::History(_)
            | Wants::Quarantine
            | Wants::Difference(..)
            | Wants::Sides(..)
            | Wants::Bless(..)
            | Wants::Verify => "The references were being read.",
        }
    }
}

#[derive(Debug)]
enum Wants {
    /// The versions of an item.
    History(Item),
    /// What was moved away.
    Quarantine,
    /// To know how a document, which is looked for, differs from this one.
    Difference(Item, Side),
    /// The same, while the first one is looked for; with the version of the other, where one is named.
    Sides(Item, Option<u64>),
    /// To bless the document that is looked for, in the name of this writer, where these hold of it.
    Bless(Item, String, Conditions),
    /// That this document of an item counts, or its removal, once it is blessed; in whose name.
    Blessed(Item, Option<Document>, String),
    /// To know what is not as blessed.
    Verify,
    /// A new key.
    Rekey,
}

/// One side of a difference: a document, where there is one, and what it is called.
type Side = (Option<Document>, String);

impl Agent {
    pub(super) fn answer_lkg(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        asked: Lkg,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let (request, conditions) = (request.id, Conditions::of(request));
        if let Some(refusal) = self.not_kept(&asked) {
            return Some(refusal);
        }
        let version = |name| version(target, name);
        let writer = caller.component().to_string();
        let (query, wants) = match asked {
            Lkg::Status => return Some(ApiResponse::json(200, &self.lkg_status(now))),
            Lkg::Verify => {
                let order = |ticket| StoreOrder::Survey { ticket, thorough: true };
                return self.ask_about(now, request, order, Wants::Verify, effects);
            }
            Lkg::Rekey => {
                let order = |ticket| StoreOrder::Rekey { ticket };
                return self.ask_about(now, request, order, Wants::Rekey, effects);
            }
            Lkg::Quarantine => (ReferenceQuery::Quarantine, Wants::Quarantine),
            Lkg::Item(item) => match self.lkg.items.get(&item).map(|kept| kept.version) {
                None => return Some(unknown(&item)),
                // Nothing of it was ever blessed: the store has no reference to look at.
                Some(0) => return Some(self.history_response(now, &item, Vec::new())),
                Some(_) => (ReferenceQuery::History(item.clone()), Wants::History(item)),
            },
            Lkg::Diff(item) => match (version("from"), version("to")) {
                (Err(why), _) | (_, Err(why)) => return Some(bad_version(&why)),
                (Ok(Some(from)), Ok(to)) => (ReferenceQuery::Version(item.clone(), from), Wants::Sides(item, to)),
                (Ok(None), Ok(to)) => {
                    (self.state(&item, to), Wants::Difference(item.clone(), self.blessed_side(&item)))
                }
            },
            Lkg::Accept(item) => (self.state(&item, None), Wants::Bless(item, writer, conditions)),
            Lkg::Rollback(item) => match version("version") {
                Ok(Some(version)) => {
                    (ReferenceQuery::Version(item.clone(), version), Wants::Bless(item, writer, conditions))
                }
                Ok(None) => return Some(bad_version("There is no 'version' in the query.")),
                Err(why) => return Some(bad_version(&why)),
            },
        };
        self.read_references(now, request, query, wants, effects)
    }

    fn read_references(
        &mut self,
        now: Now,
        request: RequestId,
        query: ReferenceQuery,
        wants: Wants,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        self.ask_about(now, request, |ticket| StoreOrder::ReadReferences { ticket, query }, wants, effects)
    }

    fn ask_about(
        &mut self,
        now: Now,
        request: RequestId,
        order: impl FnOnce(TicketId) -> StoreOrder,
        wants: Wants,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        self.ask_store(now, order, Pending::Lkg(Asked { request, wants }), effects)
    }

    /// What of an item is blessed, for a difference.
    fn blessed_side(&self, item: &Item) -> Side {
        let kept = self.lkg.items.get(item);
        let document = kept.and_then(|kept| kept.document.clone());
        let name = match (kept, &document) {
            (Some(kept), Some(_)) => format!("version {}", kept.version),
            (Some(_) | None, _) => String::from("nothing"),
        };
        (document, name)
    }

    /// The other side of a difference: a version, else what could be accepted.
    fn state(&self, item: &Item, version: Option<u64>) -> ReferenceQuery {
        match version {
            Some(version) => ReferenceQuery::Version(item.clone(), version),
            None => {
                let kept = self.lkg.items.get(item).filter(|kept| kept.version > 0);
                ReferenceQuery::Candidate(
                    item.clone(),
                    kept.map_or(Some(Former::NewestCopy), |kept| kept.former.clone()),
                )
            }
        }
    }

    /// Validates a document and orders that it is blessed, or that its item is removed.
    fn bless_document(
        &mut self,
        now: Now,
        request: RequestId,
        item: Item,
        document: Option<Document>,
        writer: String,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if let Some(Err(findings)) = document.as_ref().map(|document| self.validate(&item, document)) {
            let explanation = Explanation::new(
                format!("{item} was refused; nothing was blessed."),
                "What would be blessed is not a valid definition; the findings say why.",
                "Mend the file, and accept it again.",
            );
            return Some(ApiResponse::findings(400, &explanation, &findings));
        }
        let changes = vec![DefinitionChange { item: item.clone(), document: document.clone() }];
        let asked = Asked { request, wants: Wants::Blessed(item, document, writer.clone()) };
        self.bless(now, changes, writer, Pending::Lkg(asked), effects);
        None
    }

    fn validate(&self, item: &Item, document: &Document) -> Result<(), Findings> {
        let here = self.desk.surroundings.here;
        match item.kind {
            DefinitionKind::Job => self.parse_job(document, Some(&item.id)).map(|_| ()),
            DefinitionKind::Plugin => {
                let (plugin, _) = PluginDefinition::parse(document, Some(&item.id), here)?;
                self.conflict_of(&plugin).map_or(Ok(()), |conflict| Err(vec![conflict]))
            }
        }
    }

    /// The store answered what [`Self::bless_document`] ordered.
    pub(super) fn on_accepted(
        &mut self,
        now: Now,
        asked: Asked,
        result: Result<Vec<u64>, NotWritten>,
        effects: &mut Effects,
    ) {
        let under_way = asked.under_way();
        let Asked { request, wants: Wants::Blessed(item, document, writer) } = asked else {
            let message = format!("{under_way} The store wrote something.");
            return self.desk.turn(now, effects).log(Level::Warning, "Anomaly", message);
        };
        let versions = match result {
            Ok(versions) => versions,
            Err(error) => {
                let what = format!("{item} was not blessed; what was there before still counts.");
                return respond(request, not_written(&what, &error), effects);
            }
        };
        let version = versions.first().copied().unwrap_or_default();
        let message = match document {
            Some(document) => {
                let file = DefinitionFile { kind: item.kind, stem: item.id.clone(), content: Ok(document) };
                // It is valid; what may still keep it out of service is in its findings, which are in the log.
                self.load_one(now, file, effects);
                format!("{item} is blessed as version {version}, as {writer} accepted it or went back to it.")
            }
            None => {
                self.take_out(now, &item, effects);
                format!(
                    "{item} is removed, which is its version {version}, as {writer} accepted that its file was deleted."
                )
            }
        };
        self.desk.turn(now, effects).log(Level::Information, "LkgAccepted", message);
        respond(request, self.item_response(now, &item), effects);
    }

    /// References that proved nothing are whole again under a new key. Where none could be read, every file waits until it is accepted.
    fn begin_anew(&mut self, now: Now, effects: &mut Effects) {
        if self.lkg.state == State::Kept {
            return;
        }
        (self.lkg.state, self.lkg.is_doubted) = (State::Kept, false);
        if self.lkg.items.is_empty() {
            (self.lkg.is_held, self.lkg.holds_strays) = (true, true);
            // Why their references proved nothing is of no more use.
            self.catalog.forget_refused(|_| false);
            self.refused_plugins.clear();
        }
        self.survey(now, Pending::Sweep, effects);
    }

    pub(super) fn on_rekeyed(
        &mut self,
        now: Now,
        ticket: TicketId,
        result: Result<String, NotWritten>,
        effects: &mut Effects,
    ) {
        let Asked { request, .. } = match self.pending.remove(&ticket) {
            Some(Pending::Lkg(asked)) => asked,
            other => return self.unasked(now, ticket, other, effects),
        };
        let response = match result {
            Ok(key_id) => {
                // Whatever could not be read is gone with the old key.
                let begins_anew = self.lkg.state != State::Kept && self.lkg.items.is_empty();
                let done = if begins_anew {
                    "is made. The references were lost: nothing is blessed, and every file waits as it is for castellan lkg accept."
                } else {
                    "seals every reference."
                };
                let message = format!("The new key {key_id} {done}");
                self.desk.turn(now, effects).log(Level::Information, "LkgRekeyed", message);
                self.lkg.key_id.clone_from(&key_id);
                self.begin_anew(now, effects);
                ApiResponse::json(200, &LkgRekeyed { key_id, begins_anew })
            }
            Err(error) => not_written("The references are sealed with the key that they had.", &error),
        };
        respond(request, response, effects);
    }

    pub(super) fn on_references_read(
        &mut self,
        now: Now,
        ticket: TicketId,
        result: Result<ReferencesFound, String>,
        effects: &mut Effects,
    ) {
        let asked = match self.pending.remove(&ticket) {
            Some(Pending::Lkg(asked)) => asked,
            other => return self.unasked(now, ticket, other, effects),
        };
        let under_way = asked.under_way();
        let Asked { request, wants } = asked;
        let response = match (result, wants) {
            (Err(why), _) => Some(not_on_disk("The references could not be read.", &why)),
            (Ok(ReferencesFound::History(versions)), Wants::History(item)) => {
                Some(self.history_response(now, &item, versions))
            }
            (Ok(ReferencesFound::Quarantine(moved)), Wants::Quarantine) => {
                let lines: Vec<LkgQuarantined> = moved.into_iter().map(LkgQuarantined::from).collect();
                Some(ApiResponse::json(200, &lines))
            }
            (
                Ok(ReferencesFound::Document(None)),
                Wants::Difference(item, _) | Wants::Sides(item, _) | Wants::Bless(item, ..),
            ) => Some(nothing_there(&item)),
            (Ok(ReferencesFound::Document(Some(found))), Wants::Sides(item, to)) => {
                let (query, side) = (self.state(&item, to), (found.document, found.from));
                self.read_references(now, request, query, Wants::Difference(item, side), effects)
            }
            (Ok(ReferencesFound::Document(Some(other))), Wants::Difference(_, side)) => Some(difference(side, &other)),
            (Ok(ReferencesFound::Document(Some(found))), Wants::Bless(item, writer, conditions)) => {
                match conditions.refuse_write(Some(&tag_of(&found))) {
                    Some(refusal) => Some(refusal),
                    None => self.bless_document(now, request, item, found.document, writer, effects),
                }
            }
            (Ok(_), _) => {
                let message = format!("{under_way} The store answered another question.");
                self.desk.turn(now, effects).log(Level::Warning, "Anomaly", message);
                Some(not_on_disk("The references could not be read.", "The store answered another question."))
            }
        };
        if let Some(response) = response {
            respond(request, response, effects);
        }
    }
}

/// Two documents, key by key.
fn difference((from, from_name): Side, to: &FoundDocument) -> ApiResponse {
    let changes = diff::lines(from.as_deref(), to.document.as_deref());
    let (differs, tag) = (from != to.document, tag_of(to));
    ApiResponse::json(200, &LkgDiff { from: from_name, to: to.from.clone(), differs, tag, changes })
}

/// The entity tag of a document, or of there being none.
fn tag_of(found: &FoundDocument) -> String {
    format!("\"{}\"", if found.document.is_some() { &found.sha256 } else { "deleted" })
}

/// A version in the query.
fn version(target: &Target, name: &str) -> Result<Option<u64>, String> {
    match target.parameter(name).map(|text| (text, text.parse::<u64>())) {
        None => Ok(None),
        Some((_, Ok(version))) if version > 0 => Ok(Some(version)),
        Some((text, _)) => Err(format!("{name} is a version, a whole number from 1; found {}.", quote(text))),
    }
}

fn bad_version(why: &str) -> ApiResponse {
    let fix = "GET /api/lkg/{kind}/{id} lists the versions.";
    ApiResponse::problem(400, &Explanation::new("The query cannot be read.", why, fix))
}

/// There is no such document to compare or to bless.
fn nothing_there(item: &Item) -> ApiResponse {
    let what = format!("There is no such state of {item}.");
    let why = "Its file is as blessed or no plain file, and was not restored since the agent's start and the last blessed write; or the \
               version is not kept any more.";
    let fix = format!(
        "GET /api/lkg/{item} lists its versions. To accept something else, put it in the place of the file, and look at it again."
    );
    ApiResponse::problem(404, &Explanation::new(what, why, fix))
}
