//! How Last Known Good stands, item by item, as the API shows it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Asked;
use crate::agent::Agent;
use crate::agent::answers::MEND_REFERENCES;
use crate::agent::drift::Drift;
use crate::agent::lkg::{Kept, State};
use crate::agent::requests::respond;
use crate::api::route::lkg::Lkg;
use crate::api::view::lkg::{LkgDrift, LkgHistory, LkgItem, LkgStatus, LkgVerified, LkgVersion};
use crate::api::{ApiResponse, page};
use crate::effect::Effects;
use crate::event::DefinitionKind;
use crate::job::finding::{Findings, Severity};
use crate::lkg::{Item, ReferenceVersion, Survey};
use crate::time::{Now, WallTime};
use crate::why::Explanation;

/// Files that are fought over and told of at a time; where there are more, one cause has them all.
const ALARMS: usize = 20;

impl Agent {
    pub(super) fn item_response(&self, now: Now, item: &Item) -> ApiResponse {
        self.lkg_item_of(now, item).map_or_else(|| unknown(item), |shown| ApiResponse::json(200, &shown))
    }

    pub(super) fn history_response(&self, now: Now, item: &Item, versions: Vec<ReferenceVersion>) -> ApiResponse {
        let history = LkgVersion::all(versions);
        let shown = self.lkg_item_of(now, item).map(|item| ApiResponse::json(200, &LkgHistory { item, history }));
        shown.unwrap_or_else(|| unknown(item))
    }

    /// What a comparison of everything found, for the request that asked for it.
    pub(in crate::agent) fn verified(
        &self,
        asked: &Asked,
        survey: &Survey,
        doubt: Option<String>,
        effects: &mut Effects,
    ) {
        let references = self.lkg.items.values().filter(|kept| kept.version > 0).count();
        let faults = self.lkg.items.iter().filter_map(|(item, kept)| Some((item, kept.fault.as_deref()?))).collect();
        let body = LkgVerified::new(references, survey, &faults, doubt);
        respond(asked.request, ApiResponse::json(200, &body), effects);
    }

    /// Everything.
    pub(super) fn lkg_status(&self, now: Now) -> LkgStatus {
        let settings = self.desk.settings.configuration_lkg;
        let refused = self.refused_documents();
        let items: Vec<LkgItem> = self
            .lkg
            .items
            .iter()
            .map(|(item, kept)| self.lkg_item(now, item, kept, refused.get(item).copied()))
            .collect();
        let kept = self.lkg.state == State::Kept;
        LkgStatus {
            enabled: settings.enabled,
            audit_only: settings.audit_only,
            counter: kept.then_some(self.lkg.counter),
            key_id: Some(self.lkg.key_id.clone()).filter(|id| kept && !id.is_empty()),
            last_sweep: self.lkg.last_sweep.map(WallTime::to_rfc3339),
            alarms: self.lkg_alarms(),
            out_of_service: items.iter().filter(|item| item.is_out_of_service()).count(),
            items,
        }
    }

    /// Everything in a line.
    pub(in crate::agent) fn lkg_line(&self) -> page::Lkg {
        let settings = self.desk.settings.configuration_lkg;
        let refused = self.refused_documents();
        let is_out = |(item, kept): &(&Item, &Kept)| {
            kept.fault.is_some() || refused.contains_key(*item) || (kept.version == 0 && !kept.is_quarantined())
        };
        page::Lkg {
            mode: match (settings.enabled, settings.audit_only) {
                (false, _) => "off",
                (true, true) => "on, reports only",
                (true, false) => "on",
            },
            items: self.lkg.items.values().filter(|kept| kept.has_reference()).count(),
            out_of_service: self.lkg.items.iter().filter(is_out).count(),
            alarms: self.lkg_alarms(),
        }
    }

    /// What somebody has to look at.
    pub(in crate::agent) fn lkg_alarms(&self) -> Vec<Explanation> {
        let mut alarms = Vec::new();
        if let State::Unusable(why) = &self.lkg.state {
            let fix = if self.lkg.items.is_empty() {
                "Mend that and start the agent again. After a new key each file waits for castellan lkg accept ITEM."
            } else {
                "Mend that, or say castellan lkg rekey: what can still be opened is sealed with a new key and counts again."
            };
            alarms.push(Explanation::new("The references of Last Known Good prove nothing.", why.clone(), fix));
        }
        alarms.extend(self.lkg.troubles.iter().map(|why| {
            let fix = "Put back the folder that was there, or start the agent again if the new one is meant.";
            Explanation::new("A folder is not compared as it should be.", why.clone(), fix)
        }));
        alarms.extend(self.lkg.brake.alarms().take(ALARMS).map(|item| {
            let why = "It was restored more than ten times in a minute, and is restored once a second now.";
            let fix = format!("Find out who writes it: the log's category Drift, GET /api/lkg/{item}; then stop that.");
            Explanation::new(format!("Somebody changes {item}.json again and again."), why, fix)
        }));
        alarms
    }

    /// One item, where Last Known Good knows it.
    pub(super) fn lkg_item_of(&self, now: Now, item: &Item) -> Option<LkgItem> {
        let kept = self.lkg.items.get(item)?;
        Some(self.lkg_item(now, item, kept, self.refused_documents().get(item).copied()))
    }

    fn lkg_item(&self, now: Now, item: &Item, kept: &Kept, refused: Option<&Findings>) -> LkgItem {
        let accept = format!(
            "castellan lkg diff {item}, then castellan lkg accept {item} or castellan lkg rollback {item} VERSION."
        );
        let (state, why, fix) = match (&kept.fault, &kept.document, refused) {
            (Some(why), ..) => {
                let fix = match item.kind {
                    DefinitionKind::Job => "castellan jobs apply FILE, which writes it anew, or",
                    DefinitionKind::Plugin => "Write its file anew and accept it as below, or",
                };
                let fix = format!(
                    "{fix} castellan lkg rollback {item} VERSION, to one that is whole. Where its file is there and meant: castellan \
                     lkg diff {item}, then castellan lkg accept {item}."
                );
                ("OutOfService", Some(format!("Its reference proves nothing: {why}")), Some(fix))
            }
            (None, None, _) if kept.is_quarantined() => {
                let why = "Nothing of it was ever blessed, and its file was moved to state/quarantine.".to_string();
                let fix = format!("castellan lkg diff {item}, then castellan lkg accept {item}, if it is meant.");
                ("Quarantined", Some(why), Some(fix))
            }
            (None, None, _) if kept.version == 0 => {
                let why = "Its file is there, and nothing of it was ever blessed.".to_string();
                let fix = format!(
                    "castellan lkg diff {item}, then castellan lkg accept {item}, if it is meant; else remove the file."
                );
                ("OutOfService", Some(why), Some(fix))
            }
            (None, None, _) => ("Tombstone", None, None),
            (None, Some(_), Some(findings)) => {
                let first = findings.iter().find(|finding| finding.severity == Severity::Error);
                let why = first.map(|finding| format!("{} {}", finding.path, finding.message).trim().to_string());
                let fix =
                    format!("Write a valid one: castellan jobs apply FILE, or castellan lkg rollback {item} VERSION.");
                ("Refused", why, Some(fix))
            }
            (None, Some(_), None) if kept.held => {
                let why = "Its file may differ since Last Known Good was off; the reference counts.";
                ("InService", Some(why.to_string()), Some(accept))
            }
            (None, Some(_), None) => ("InService", None, None),
        };
        LkgItem {
            kind: item.kind.folder(),
            id: item.id.clone(),
            version: Some(kept.version).filter(|version| *version > 0),
            state,
            why,
            fix,
            last_drift: kept.drift.as_ref().map(shown_drift),
            restores_last_minute: self.lkg.brake.restores(now.monotonic, item),
        }
    }

    /// Documents that are blessed or on disk, and are no valid definitions.
    fn refused_documents(&self) -> BTreeMap<Item, &Findings> {
        let jobs = self.catalog.refused().map(|(stem, findings)| (Item::new(DefinitionKind::Job, stem), findings));
        let plugins = self.refused_plugins.iter();
        jobs.chain(plugins.map(|(stem, findings)| (Item::new(DefinitionKind::Plugin, stem.as_str()), findings)))
            .collect()
    }

    /// 409 where nothing is blessed: without references, or with such as prove nothing. How it stands is told all the same, and a new
    /// key is the way back.
    pub(super) fn not_kept(&self, asked: &Lkg) -> Option<ApiResponse> {
        let explanation = match &self.lkg.state {
            _ if matches!(asked, Lkg::Status | Lkg::Quarantine) => return None,
            State::Kept => return None,
            State::Unusable(_) if *asked == Lkg::Rekey => return None,
            State::Off => Explanation::new(
                "Last Known Good is off.",
                "Settings:ConfigurationLkg:Enabled is false, so no references are kept and the files count.",
                "Turn it on in appsettings.json and start the agent again.",
            ),
            State::Unusable(why) => Explanation::new(
                "The references of Last Known Good prove nothing; no write is taken.",
                why.clone(),
                MEND_REFERENCES,
            ),
        };
        Some(ApiResponse::problem(409, &explanation))
    }
}

impl Kept {
    /// Whether there is a reference of it, sound or not. One that was removed has none.
    const fn has_reference(&self) -> bool {
        self.document.is_some() || self.fault.is_some()
    }
}

fn shown_drift(drift: &Drift) -> LkgDrift {
    LkgDrift { time: drift.at.to_rfc3339(), what: drift.what.clone(), outcome: drift.done.outcome() }
}

pub(super) fn unknown(item: &Item) -> ApiResponse {
    let why = "Nothing of it was ever blessed, and since the last sweep no file of it was seen.";
    let fix =
        format!("castellan lkg status names what is known; castellan lkg diff {item} finds a copy in quarantine.");
    ApiResponse::problem(404, &Explanation::new(format!("Last Known Good does not know {item}."), why, fix))
}
