//! Admin certificates while the agent runs: which count now, whose connections end, when its own is made anew (contract section 2).
//!
//! The list on disk is the truth; it is read at the start and told again after each change. A change counts once it is there.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::answers::Pending;
use super::requests::respond;
use super::requests_certificates;
use crate::certificate::{AdminCertificate, CertificateChange, CertificatesChanged, NotChanged, OWN_NAME};
use crate::effect::{BrokerOrder, Effects, StoreOrder};
use crate::id::{RequestId, TicketId};
use crate::log_message::Level;
use crate::time::{Deadline, Monotonic, Now, WallTime};

/// Seconds until a renewal that failed is tried again: a third of a certificate's life is left for that.
const RENEW_AGAIN_SECONDS: u64 = 24 * 3600;

/// The certificates, and what is to be done about them.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) list: Vec<AdminCertificate>,
    /// The SHA-256 of those by which somebody may be connected to the broker.
    connected: BTreeSet<String>,
    /// No renewal is tried before.
    renew_not_before: Monotonic,
}

/// What a change of the list was asked for.
#[derive(Debug)]
pub(super) enum Asked {
    /// A request, by this administrator, for a certificate of this name.
    Issue { request: RequestId, name: String, by: String },
    /// A request, by this administrator, to take certificates back.
    Revoke { request: RequestId, sha256: BTreeSet<String>, by: String },
    /// Nobody: the agent's own is old.
    Renew,
}

impl Asked {
    /// Who waits for an answer, and what was under way.
    pub(super) const fn waits(&self) -> Option<(RequestId, &'static str)> {
        match self {
            Self::Issue { request, .. } => Some((*request, "The certificate was being made.")),
            Self::Revoke { request, .. } => Some((*request, "The certificate was being revoked.")),
            Self::Renew => None,
        }
    }
}

impl Certificates {
    pub(super) const fn new(list: Vec<AdminCertificate>) -> Self {
        Self { list, connected: BTreeSet::new(), renew_not_before: Monotonic::from_millis(0) }
    }

    /// The certificate with this SHA-256, where it makes an administrator now.
    pub(super) fn counting(&self, sha256: &str, now: WallTime) -> Option<&AdminCertificate> {
        self.list.iter().find(|one| one.sha256 == sha256 && one.counts(now))
    }

    /// Somebody is let into the broker by this certificate.
    pub(super) fn note_connected(&mut self, sha256: &str) {
        self.connected.insert(sha256.to_string());
    }

    /// When the agent's own newest certificate is to be made anew.
    fn renewal(&self, now: Now) -> Option<Monotonic> {
        let own = self.list.iter().filter(|one| one.name == OWN_NAME && one.counts(now.wall));
        let newest = own.max_by_key(|one| one.not_after)?;
        Some(instant(newest.renewal(), now).max(self.renew_not_before))
    }

    /// Its own is made anew while it is at work only.
    pub(super) fn next_deadline(&self, now: Now, is_running: bool) -> Option<Deadline> {
        let ends = self.list.iter().filter(|one| self.connected.contains(&one.sha256) && one.counts(now.wall));
        let over = |one: &AdminCertificate| WallTime::from_millis(one.not_after.as_millis().saturating_add(1));
        let end = ends.map(over).min().map(|at| Deadline { at: instant(at, now), reason: "the end of a certificate" });
        let renewal =
            self.renewal(now).filter(|_| is_running).map(|at| Deadline { at, reason: "the renewal of a certificate" });
        Deadline::earlier(end, renewal)
    }
}

/// The wall clock may be set; the loop comes by often enough to notice.
fn instant(at: WallTime, now: Now) -> Monotonic {
    let left = at.as_millis().saturating_sub(now.wall.as_millis());
    now.monotonic.plus_millis(u64::try_from(left).unwrap_or(0))
}

impl Agent {
    /// Orders a change; it counts once it is on disk.
    pub(super) fn change_certificates(
        &mut self,
        now: Now,
        change: CertificateChange,
        asked: Asked,
        effects: &mut Effects,
    ) {
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::ChangeCertificates { ticket, change, at: now.wall });
        self.expect_answer(ticket, Pending::Certificates(asked));
    }

    /// Whether a certificate of this name is being made right now.
    pub(super) fn issue_under_way(&self, wanted: &str) -> bool {
        let is_it = |pending: &Pending| matches!(pending, Pending::Certificates(Asked::Issue { name, .. }) if name.eq_ignore_ascii_case(wanted));
        self.pending.values().any(is_it)
    }

    pub(super) fn on_certificates_changed(
        &mut self,
        now: Now,
        ticket: TicketId,
        result: Result<CertificatesChanged, NotChanged>,
        effects: &mut Effects,
    ) {
        let asked = match self.pending.remove(&ticket) {
            Some(Pending::Certificates(asked)) => asked,
            other => return self.unasked(now, ticket, other, effects),
        };
        let (level, category, message) = match (&asked, &result) {
            (Asked::Issue { name, by, .. }, Ok(_)) => (
                Level::Information,
                "CertificateIssued",
                format!("Administrator '{by}' issued a certificate for '{name}'."),
            ),
            (Asked::Revoke { sha256, by, .. }, Ok(_)) => {
                let names: Vec<String> = sha256.iter().map(|one| self.certificate_text(one)).collect();
                let message = format!("Administrator '{by}' revoked {}.", names.join(", "));
                (Level::Warning, "CertificateRevoked", message)
            }
            (Asked::Renew, Ok(changed)) => {
                let end = changed.issued.as_ref().map(|(issued, _)| issued.not_after.to_rfc3339());
                let message = end.map_or_else(
                    || String::from("The agent's own client certificate needed no renewal."),
                    |end| format!("The agent's own client certificate was made anew, until {end}."),
                );
                (Level::Information, "CertificateRenewed", message)
            }
            (
                Asked::Issue { by, .. } | Asked::Revoke { by, .. },
                Err(NotChanged::Request(why) | NotChanged::Failed(why)),
            ) => (
                Level::Warning,
                "CertificatesNotChanged",
                format!("The list stays as administrator '{by}' found it. {why}"),
            ),
            (Asked::Renew, Err(NotChanged::Request(why) | NotChanged::Failed(why))) => (
                Level::Warning,
                "CertificatesNotChanged",
                format!("The agent's own client certificate was not renewed. {why}"),
            ),
        };
        self.desk.turn(now, effects).log(level, category, message);
        if let Some((request, _)) = asked.waits() {
            respond(request, requests_certificates::changed(&asked, &result, now.wall), effects);
        }
        if let Ok(changed) = result {
            self.audit_certificates(now, &asked, &changed, effects);
            self.certificates.list = changed.list;
        }
    }

    fn certificate_text(&self, sha256: &str) -> String {
        let known = self.certificates.list.iter().find(|one| one.sha256 == sha256);
        known.map_or_else(|| sha256.to_string(), |one| format!("the certificate of '{}' ({sha256})", one.name))
    }

    /// Ends the broker's connections by certificates that count no more, and renews the agent's own.
    pub(super) fn look_after_certificates(&mut self, now: Now, effects: &mut Effects) {
        let (kept, over) = core::mem::take(&mut self.certificates.connected)
            .into_iter()
            .partition(|sha256| self.certificates.counting(sha256, now.wall).is_some());
        self.certificates.connected = kept;
        let over: BTreeSet<String> = over;
        for sha256 in over {
            let message =
                format!("Connections end that showed {}, which counts no more.", self.certificate_text(&sha256));
            let mut turn = self.desk.turn(now, effects);
            turn.log(Level::Information, "CertificateOver", message);
            turn.broker(BrokerOrder::RevokeCertificate { sha256 });
        }
        if self.is_running() && self.certificates.renewal(now).is_some_and(|due| due <= now.monotonic) {
            self.certificates.renew_not_before = now.monotonic.plus_seconds(RENEW_AGAIN_SECONDS);
            self.change_certificates(now, CertificateChange::Renew, Asked::Renew, effects);
        }
    }
}
