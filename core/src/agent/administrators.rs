//! Administrators' tools on the broker: a client certificate on the list may read everything and publishes nothing (contract section 5).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Agent;
use super::connections::{Refused, reason_of, refused};
use crate::acl::client_id;
use crate::acl::topic::TopicFilter;
use crate::acl::{FilterSet, Grant, Subject};
use crate::api::CertificateFacts;
use crate::effect::ConnectRefusal;
use crate::id::{Component, SpawnId};
use crate::time::Now;
use crate::trust::{self, Peer, PeerFacts};
use crate::why::Explanation;

/// Every topic that a leading wildcard reaches, and the broker's own (MQTT 5.0 4.7.2).
const READABLE: [&str; 2] = ["#", "$SYS/#"];

impl Agent {
    /// The grant of a client whose certificate the admin CA issued. Whoever shows one comes as an administrator or not at all:
    /// falling back to less would hide that a certificate was taken back.
    pub(super) fn judge_administrator(
        &mut self,
        now: Now,
        client_id: &str,
        peer: &PeerFacts,
        certificate: &CertificateFacts,
    ) -> Result<Grant, Refused> {
        let Some(known) = self.certificates.counting(&certificate.sha256, now.wall) else {
            let explanation = Explanation::new(
                "The connection is refused.",
                "Its client certificate is not on the list of admin certificates; it may have been revoked, or have expired.",
                "Use the certificate in state/admin/client.pem, or connect without one.",
            );
            return refused(ConnectRefusal::NotAuthorized, client_id, None, Peer::of(peer), explanation);
        };
        let name = known.name.clone();
        let component = Component::Administrator(name.clone());
        let pid = match trust::own_process(peer) {
            Ok(pid) => pid,
            Err(refusal) => {
                let fix = "Use '@admin_{pid}' with the id of the process that opens the connection, and keep the socket open.";
                let explanation = Explanation { fix: String::from(fix), ..refusal.explanation };
                return refused(reason_of(refusal.kind), client_id, Some(&component), refusal.peer, explanation);
            }
        };
        let own = client_id::of_administrator(pid);
        if client_id != own {
            let explanation = Explanation::new(
                format!("The client id {} is refused.", crate::job::finding::quote(client_id)),
                format!(
                    "The connection shows the admin certificate '{name}', and the client id is not an administrator's."
                ),
                format!("Use '{own}', or connect without the certificate."),
            );
            let reason = ConnectRefusal::ClientIdentifierNotValid;
            return refused(reason, client_id, Some(&component), Peer::process(Some(pid)), explanation);
        }
        let subject = Subject { component, run: None, spawn: SpawnId::NONE, pid, client_id: String::from(client_id) };
        self.certificates.note_connected(&certificate.sha256);
        let readable = READABLE.into_iter().filter_map(|filter| TopicFilter::parse(filter).ok());
        let subscribe = readable.collect::<Vec<_>>().into();
        Ok(Grant { subject, publish: FilterSet::default(), subscribe, primary: None, user: None, withheld: None })
    }
}
