//! The disk of a world: it takes orders, and carries them out when it is told to.

use castellan_core::elevation::ElevationQuery;
use castellan_core::mfa::{MfaReport, Verdict};

use super::*;

impl World {
    pub(super) fn take_store(&mut self, order: StoreOrder) -> String {
        let line = match &order {
            StoreOrder::PersistRun { record, durable, .. } => {
                assert_eq!(*durable, record.outcome.is_some(), "only an end waits for the disk: {record:?}");
                format!("persist {} {}", record.run_id, record.status)
            }
            StoreOrder::KeepElevation { record, .. } => format!("keep {} {:?}", record.request_id, record.status),
            StoreOrder::ReadRuns { .. } => "read runs".into(),
            StoreOrder::ReadElevations { .. } => "read requests".into(),
            StoreOrder::ChangeDefinitions { changes, .. } => {
                let said = |change: &DefinitionChange| {
                    let verb = if change.document.is_some() { "write" } else { "remove" };
                    format!("{verb} {}", change.item.id)
                };
                changes.iter().map(said).collect::<Vec<_>>().join(", ")
            }
            StoreOrder::ReadDefinitions { .. } => "read definitions".into(),
            StoreOrder::Survey { .. } => "survey".into(),
            StoreOrder::Restore { item, .. } => format!("restore {item}"),
            StoreOrder::ReadReferences { query, .. } => format!("references {query:?}"),
            StoreOrder::Rekey { .. } => "rekey".into(),
            StoreOrder::SettleHeld => "settle held".into(),
            StoreOrder::ReadPolicies { .. } => "read policies".into(),
            StoreOrder::KeepPolicies { changes, bundle, .. } => {
                format!("keep {} policies{}", changes.len(), if bundle.is_some() { " and their bundle" } else { "" })
            }
            StoreOrder::WriteSettings { changes, .. } => format!("write {} settings", changes.len()),
            StoreOrder::Mfa { order, .. } => format!("mfa {order:?}"),
            StoreOrder::ChangeCertificates { change, .. } => format!("certificates {change:?}"),
            StoreOrder::Note(_) => panic!("a note is taken elsewhere"),
        };
        self.disk.push_back(order);
        line
    }

    /// The disk carries out what waits, in order, until nothing waits.
    pub fn disk(&mut self) {
        while self.disk_once(Ok(())) {}
    }

    fn judged(&mut self) -> MfaReport {
        MfaReport::Checked(self.socket.verdicts.pop_front().unwrap_or(Verdict::NotEnrolled))
    }

    /// The disk carries out, or fails, the oldest order.
    pub fn disk_once(&mut self, result: Result<(), String>) -> bool {
        let Some(order) = self.disk.pop_front() else { return false };
        let report = match order {
            StoreOrder::PersistRun { ticket, record, .. } => {
                let run = RunId::from_text(&record.run_id).unwrap();
                if result.is_ok() {
                    self.history.insert(record.run_id.clone(), Arc::unwrap_or_clone(record));
                }
                StoreReport::RunPersisted { ticket, run, result }
            }
            StoreOrder::KeepElevation { ticket, record, .. } => {
                self.socket.keep(*record, &result);
                StoreReport::ElevationKept { ticket, result }
            }
            StoreOrder::ReadRuns { ticket, query } => {
                StoreReport::RunsRead { ticket, result: result.map(|()| self.runs(&query)) }
            }
            StoreOrder::ReadElevations { ticket, query } => {
                StoreReport::ElevationsRead { ticket, result: result.map(|()| self.requests(&query)) }
            }
            StoreOrder::ChangeDefinitions { ticket, changes, .. } => {
                let versions = vec![0; changes.len()];
                for DefinitionChange { item, document } in changes.into_iter().filter(|_| result.is_ok()) {
                    match document {
                        Some(document) => drop(self.files.insert((item.kind, item.id), document.to_vec())),
                        None => drop(self.files.remove(&(item.kind, item.id))),
                    }
                }
                let result = result.map(|()| versions).map_err(NotWritten::because);
                StoreReport::DefinitionsChanged { ticket, result }
            }
            StoreOrder::WriteSettings { ticket, changes } => {
                for change in changes.into_iter().filter(|_| result.is_ok()) {
                    self.keep(change);
                }
                StoreReport::SettingsWritten { ticket, result }
            }
            StoreOrder::ReadPolicies { ticket, document: None } => {
                StoreReport::PoliciesRead { ticket, files: self.policies.clone() }
            }
            StoreOrder::ReadPolicies { ticket, document: Some(PolicyDocument { name, document }) } => {
                StoreReport::PoliciesRead { ticket, files: vec![policy(&name, &document)] }
            }
            StoreOrder::KeepPolicies { ticket, changes, bundle } => {
                if result.is_ok() {
                    self.keep_policies(changes, bundle);
                }
                StoreReport::PoliciesKept { ticket, result }
            }
            StoreOrder::Mfa { ticket, .. } => StoreReport::Mfa { ticket, result: result.map(|()| self.judged()) },
            StoreOrder::ChangeCertificates { ticket, change, at } => {
                let result = result.map_err(NotChanged::Failed).map(|()| self.change_certificates(&change, at));
                StoreReport::CertificatesChanged { ticket, result }
            }
            StoreOrder::Survey { ticket, .. } => StoreReport::Surveyed {
                ticket: Some(ticket),
                survey: Survey { whole: true, ..Survey::default() },
                checked: Checked::default(),
            },
            StoreOrder::Restore { ticket, item, .. } => {
                StoreReport::Restored { ticket, item, result: result.map(|()| None) }
            }
            StoreOrder::ReadReferences { .. } | StoreOrder::Rekey { .. } => panic!("answered by its own story"),
            StoreOrder::SettleHeld => panic!("it has no answer"),
            StoreOrder::Note(_) => panic!("it has no answer"),
            StoreOrder::ReadDefinitions { ticket } => {
                StoreReport::DefinitionsRead { ticket, files: self.definitions() }
            }
        };
        self.tell(Event::Store(report));
        true
    }

    fn keep_policies(&mut self, changes: Vec<PolicyChange>, bundle: Option<KeptBundle>) {
        self.kept_bundle = bundle.or(self.kept_bundle.take());
        for change in changes {
            match change {
                PolicyChange::Keep(policy) => drop(self.applied.insert(policy.key.clone(), policy)),
                PolicyChange::Forget(key) => drop(self.applied.remove(&key)),
            }
        }
    }

    fn runs(&self, query: &RunQuery) -> Vec<RunRecord> {
        let RunQuery { job, run, status, before, limit, .. } = query;
        let wanted = |record: &&RunRecord| {
            job.as_ref().is_none_or(|job| job.as_str() == record.job_id)
                && run.as_ref().is_none_or(|run| run.as_str() == record.run_id)
                && status.as_ref().is_none_or(|status| *status == record.status)
                && before.as_ref().is_none_or(|run| record.run_id.as_str() < run.as_str())
        };
        self.history.values().rev().filter(wanted).take(*limit).cloned().collect()
    }

    fn requests(&self, query: &ElevationQuery) -> Vec<ElevationRecord> {
        let ElevationQuery { request, user, status, since, before, limit } = query;
        let order = |id: &str| id.split_once('-').map(|(_, count)| count.parse::<u64>().unwrap());
        let wanted = |record: &&ElevationRecord| {
            request.as_ref().is_none_or(|request| request.as_str() == record.request_id)
                && user.as_ref().is_none_or(|user| *user == record.user_name)
                && status.is_none_or(|status| status == record.status)
                && since.is_none_or(|since| record.asked_at >= since.to_rfc3339())
                && before.as_ref().is_none_or(|before| order(&record.request_id) < order(before.as_str()))
        };
        let mut found: Vec<ElevationRecord> = self.socket.records.values().filter(wanted).cloned().collect();
        found.sort_by_key(|record| std::cmp::Reverse(order(&record.request_id)));
        found.truncate(*limit);
        found
    }

    pub(super) fn keep(&mut self, change: SettingChange) {
        let place = |plugin: &str, key: &str| (plugin.to_ascii_lowercase(), key.to_ascii_lowercase());
        match change {
            SettingChange::Keep(row) => drop(self.settings.insert(place(&row.plugin, &row.key), row)),
            SettingChange::Forget { plugin, key } => drop(self.settings.remove(&place(&plugin, &key))),
        }
    }

    fn change_certificates(&mut self, change: &CertificateChange, at: WallTime) -> CertificatesChanged {
        let day = 24 * 3600 * 1000;
        let issued = match change {
            CertificateChange::Revoke { sha256, by } => {
                for one in self.certificates.iter_mut().filter(|one| sha256.contains(&one.sha256)) {
                    one.revoked = Some(Revocation { at, by: by.clone() });
                }
                None
            }
            CertificateChange::Issue { name, days, .. } => Some((name.as_str(), i64::from(*days))),
            CertificateChange::Renew => Some(("client", 90)),
        };
        let issued = issued.map(|(name, days)| AdminCertificate {
            sha256: format!("sha256-{}", self.certificates.len()),
            name: name.into(),
            not_before: at,
            not_after: WallTime::from_millis(at.as_millis() + days * day),
            revoked: None,
        });
        self.certificates.extend(issued.clone());
        let issued = issued.map(|issued| (issued, String::from("PEM")));
        CertificatesChanged { list: self.certificates.clone(), issued }
    }
}
