//! Who may connect to the broker: the registry says who a process is, the client id is only held against it (contract section 5).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Agent;
use crate::acl::client_id::{self, Judgement};
use crate::acl::topic::TopicFilter;
use crate::acl::{Action, Denial, FilterSet, Grant, PrimarySubscription, Subject};
use crate::api::CertificateFacts;
use crate::broker::LOG_TOPIC;
use crate::effect::{BrokerOrder, ConnectRefusal, ConnectVerdict, Effects};
use crate::event::BrokerReport;
use crate::id::{Component, ConnectionId};
use crate::log_message::Level;
use crate::time::Now;
use crate::trust::{Identity, Peer, PeerFacts, Refusal, RefusalKind};
use crate::why::Explanation;

/// What the client is answered, and what goes on record.
pub(super) type Refused = (ConnectRefusal, Box<Denial>);

/// What may be published, what may be subscribed, and a plugin's own subscription.
type Permissions = (FilterSet, FilterSet, Option<PrimarySubscription>);

impl Agent {
    pub(super) fn on_broker(&mut self, now: Now, report: BrokerReport, effects: &mut Effects) {
        self.meter.reported(&report);
        match report {
            BrokerReport::ConnectAsked { connection, client_id, peer, certificate } => {
                self.on_connect_asked(now, connection, client_id, &peer, certificate.as_ref(), effects);
            }
            BrokerReport::Connected { subject } => self.on_connected(now, &subject, effects),
            BrokerReport::Disconnected { subject, reason } => self.on_disconnected(now, &subject, &reason, effects),
            BrokerReport::Published { subject, topic, payload, packet } => {
                self.on_published(now, &subject, &topic, &payload, packet, effects)
            }
            BrokerReport::Traced { subject, traced } => self.on_traced(now, &subject, &traced, effects),
            BrokerReport::Dropped { subject, messages, explanation } => {
                let message = format!("{explanation} {messages} messages so far.");
                self.desk.turn(now, effects).log_about(Level::Warning, "Dropped", message, Some(&subject.component));
            }
            BrokerReport::LogDropped { subject, messages, millis } => {
                self.record_dropped_logs(now, &subject, messages, millis, effects);
            }
            BrokerReport::Denied(denial) => self.record_denial(now, denial, effects),
            BrokerReport::DeniedAgain { denial, more } => self.record_denials(now, denial, more, effects),
            BrokerReport::Stopped => self.on_broker_stopped(now, effects),
        }
    }

    fn on_connect_asked(
        &mut self,
        now: Now,
        connection: ConnectionId,
        client_id: String,
        peer: &PeerFacts,
        certificate: Option<&CertificateFacts>,
        effects: &mut Effects,
    ) {
        if self.is_closing() {
            return self.refuse_unavailable(now, connection, &client_id, effects);
        }
        let verdict = match certificate {
            Some(certificate) => self.judge_administrator(now, &client_id, peer, certificate),
            None => match self.registry.identify(peer) {
                Ok(identity) => self.judge_process(&client_id, identity),
                Err(refusal) => match self.examine_client(now, connection, &client_id, peer, refusal, effects) {
                    Ok(()) => return,
                    Err(refusal) => unidentified(&client_id, refusal),
                },
            },
        };
        self.answer_connect(now, connection, verdict, effects);
    }

    /// The agent is stopping.
    pub(super) fn refuse_unavailable(
        &mut self,
        now: Now,
        connection: ConnectionId,
        client_id: &str,
        effects: &mut Effects,
    ) {
        let explanation = Explanation::new(
            format!("{} was not connected.", crate::job::finding::quote(client_id)),
            "The agent is stopping.",
            "Connect again when the agent is back.",
        );
        let verdict = ConnectVerdict::Refuse { reason: ConnectRefusal::ServerUnavailable, explanation };
        self.desk.turn(now, effects).broker(BrokerOrder::AnswerConnect { connection, verdict });
    }

    pub(super) fn answer_connect(
        &mut self,
        now: Now,
        connection: ConnectionId,
        verdict: Result<Grant, Refused>,
        effects: &mut Effects,
    ) {
        let verdict = match verdict {
            Ok(grant) => ConnectVerdict::Accept(Arc::new(grant)),
            Err((reason, denial)) => {
                let explanation = denial.explanation.clone();
                self.record_denial(now, *denial, effects);
                ConnectVerdict::Refuse { reason, explanation }
            }
        };
        self.desk.turn(now, effects).broker(BrokerOrder::AnswerConnect { connection, verdict });
    }

    /// Holds the client id against who the process is.
    pub(super) fn judge_process(&self, client_id: &str, identity: Identity) -> Result<Grant, Refused> {
        let deny = |reason, component, pid, explanation| {
            refused(reason, client_id, component, Peer::process(pid), explanation)
        };
        let component = Some(&identity.component);
        let pid = match (identity.pid, client_id::claimed_pid(client_id)) {
            (Some(pid), Ok(_)) => pid,
            (pid, Err(explanation)) => {
                return deny(ConnectRefusal::ClientIdentifierNotValid, component, pid, explanation);
            }
            (None, Ok(claimed)) => {
                let explanation = Explanation::new(
                    format!("The client id '{client_id}' is refused."),
                    format!("Process {claimed} could not be verified as the one at the other end."),
                    "End the client id with the process id of the program that opens the connection.",
                );
                return deny(ConnectRefusal::ClientIdentifierNotValid, component, None, explanation);
            }
        };
        let entry = self.registry.entry(identity.spawn);
        let user = entry.map_or(&self.desk.surroundings.user_name, |entry| &entry.user_name);
        match client_id::judge(client_id, &identity.component, pid, user) {
            Judgement::Fits => Ok(self.grant(identity, pid, client_id, None)),
            Judgement::WrongForm(explanation) => Ok(self.grant(identity, pid, client_id, Some(explanation))),
            Judgement::Refused(explanation) => {
                deny(ConnectRefusal::ClientIdentifierNotValid, component, Some(pid), explanation)
            }
        }
    }

    /// Exactly what the definition in service declares; nothing at all where the client id has the wrong form.
    fn grant(&self, identity: Identity, pid: u32, client_id: &str, withheld: Option<Explanation>) -> Grant {
        let Identity { spawn, component, run, .. } = identity;
        let permissions = if withheld.is_some() { None } else { self.permissions(&component) };
        let (publish, subscribe, primary) = permissions.unwrap_or_default();
        let subject = Subject { component, run, spawn, pid, client_id: client_id.to_string() };
        let own = self.desk.surroundings.uid;
        let user = self.registry.entry(spawn).map(|entry| entry.uid).filter(|uid| *uid != own);
        Grant { subject, publish, subscribe, primary, user, withheld }
    }

    /// The topic lists of the definition in service, if there is one.
    pub(super) fn permissions(&self, component: &Component) -> Option<Permissions> {
        match component {
            Component::Job(id) => self
                .catalog
                .find(id.as_str())
                .map(|job| (job.allowed_publications.clone().into(), job.allowed_subscriptions.clone().into(), None)),
            Component::Plugin(id) => self.plugins.get(id).filter(|plugin| !plugin.retired).map(|plugin| {
                let (publish, subscribe) = plugin.definition().permissions();
                (publish, subscribe, Some(plugin.definition().subscription.clone()))
            }),
            Component::Administrator(_) => None,
            Component::Program(_) => {
                Some((TopicFilter::parse(LOG_TOPIC).into_iter().collect::<Vec<_>>().into(), FilterSet::default(), None))
            }
        }
    }

    fn on_connected(&mut self, now: Now, subject: &Subject, effects: &mut Effects) {
        if let Component::Plugin(id) = &subject.component
            && let Some(plugin) = self.plugins.get_mut(id)
            && let Some(instance) = plugin.instance_of_mut(subject.spawn)
        {
            instance.on_connected(&mut self.desk.turn(now, effects));
        }
        self.log_connection(
            now,
            Level::Information,
            "Connected",
            "connected to the broker".to_string(),
            subject,
            effects,
        );
    }

    fn on_disconnected(&mut self, now: Now, subject: &Subject, reason: &str, effects: &mut Effects) {
        if let Component::Plugin(id) = &subject.component
            && let Some(plugin) = self.plugins.get_mut(id)
            && let Some(instance) = plugin.instance_of_mut(subject.spawn)
        {
            instance.on_disconnected(&self.desk.turn(now, effects));
        }
        self.log_connection(now, Level::Debug, "Disconnected", format!("left the broker: {reason}"), subject, effects);
    }

    fn log_connection(
        &mut self,
        now: Now,
        level: Level,
        category: &'static str,
        what: String,
        subject: &Subject,
        effects: &mut Effects,
    ) {
        let who = match &subject.component {
            Component::Administrator(name) => format!("Administrator '{name}' as {}", subject.client_id),
            Component::Program(name) => format!("Program '{name}', trusted by its signature, as {}", subject.client_id),
            Component::Job(_) | Component::Plugin(_) => subject.client_id.clone(),
        };
        let message = format!("{who} (pid {}) {what}.", subject.pid);
        self.desk.turn(now, effects).log_about(level, category, message, Some(&subject.component));
    }
}

/// A CONNECT of nobody that the agent knows.
pub(super) fn unidentified(client_id: &str, refusal: Refusal) -> Result<Grant, Refused> {
    refused(reason_of(refusal.kind), client_id, None, refusal.peer, refusal.explanation)
}

/// What a peer is answered that is not who it has to be.
pub(super) const fn reason_of(kind: RefusalKind) -> ConnectRefusal {
    match kind {
        RefusalKind::NotTrusted => ConnectRefusal::NotAuthorized,
        RefusalKind::ClaimedPidNotOwn => ConnectRefusal::ClientIdentifierNotValid,
    }
}

/// A CONNECT that is refused.
pub(super) fn refused<T>(
    reason: ConnectRefusal,
    client_id: &str,
    component: Option<&Component>,
    peer: Peer,
    explanation: Explanation,
) -> Result<T, Refused> {
    let denial = Denial {
        action: Action::Connect,
        target: client_id.to_string(),
        component: component.map(ToString::to_string),
        client_id: Some(client_id.to_string()),
        peer,
        explanation,
        declaration: None,
    };
    Err((reason, Box::new(denial)))
}
