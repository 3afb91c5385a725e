//! How a fleet is told its configuration policies (`Settings:PolicySource`): when the source is asked, and which bundle is in force.
//!
//! ```text
//! state      what happens                 next
//! ---------  ---------------------------  ------------------------------------------------------------
//! Off        anything                     there is no source, or the listeners are not open yet
//! Waiting    its instant comes            Asking: FleetOrder::Ask
//! Asking     NotModified, Received        Waiting for PollSeconds, a tenth earlier or later
//!            Subscribed (MQTT)            Listening
//!            Failed, or no answer in time Waiting: 5 s, doubled with each failure, PollSeconds or 300 s at most
//! Listening  Received                     Listening
//!            Failed                       Waiting, as above; a subscription that held for a minute begins anew
//!            its policies are refused     Waiting for 150 to 300 s, to subscribe anew and be sent the same again
//! ```
//! Whatever is received is judged in this order, and refused whole by the first that fails: signature (always needed from a network), form,
//! name, sequence, and then every policy in it. Only what the policies took is kept on disk, in one transaction with the record of its
//! policies, and in force.
//!
//! Invariants: a bundle never replaces one of the same name with a higher or the same sequence, also where that one's signer counts no more;
//! a failure or refusal never changes what is in force; how often the source is asked is bounded whatever it answers; nothing else of the agent waits for it.

mod bundle;
mod pace;
mod standing;
mod telling;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};

pub use bundle::{Bundle, KeptBundle, Offer};
pub(crate) use standing::{BundleLine, Standing};

use crate::config::{PolicySource, Settings};
use crate::configuration_policy::PolicySigner;
use crate::digest::digest;
use crate::effect::{Effect, FleetOrder};
use crate::event::{FleetReport, Opened, Received};
use crate::limits::{BUNDLE_BYTES, ETAG_BYTES};
use crate::log_message::Level;
use crate::time::{Deadline, Monotonic, WallTime};
use crate::trust::signature::{SignaturePolicy, Verdict};
use crate::turn::Turn;
use pace::Pace;

/// Longer than the ports allow themselves for one question; then the answer is lost.
const ANSWER_SECONDS: u64 = 120;

/// A bundle that counts.
struct Sound {
    bundle: Bundle,
    signer: Option<PolicySigner>,
}

/// What to do about a signature.
const SIGN: &str =
    "Sign it with openssl cms -sign -nodetach -binary -outform DER, as one of Settings:AlternativeSignatures.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Off,
    Waiting { at: Monotonic },
    Asking { until: Monotonic },
    Listening { since: Monotonic },
}

#[derive(Debug)]
struct InForce {
    name: String,
    sequence: u64,
    content: u64,
    source: String,
    etag: Option<String>,
    at: WallTime,
    /// Who signed it; the same bundle counts anew where somebody else did.
    signer: Option<PolicySigner>,
}

/// A bundle that the policies are asked about.
#[derive(Debug)]
struct Offered {
    in_force: InForce,
    /// Whether it is of this life of the agent, and not on disk before its policies are.
    is_new: bool,
}

/// The bundle of former lives where it counts no more: nobody can bring back what was before it.
#[derive(Debug)]
struct Former {
    name: String,
    sequence: u64,
    content: u64,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Fleet {
    source: Option<PolicySource>,
    needs_signature: bool,
    pace: Pace,
    state: State,
    in_force: Option<InForce>,
    former: Option<Former>,
    offered: Option<Offered>,
    /// Came while another one was offered, with its number; only one with the same or a higher number takes its place.
    next: Option<(u64, Received)>,
    /// Why there was no answer, until there is one.
    failure: Option<String>,
    /// What was refused last, and why, until a good one came.
    refusal: Option<(u64, String)>,
    /// When one was in the log last.
    told: Option<Monotonic>,
    refused: u64,
    failed: u64,
}

impl Fleet {
    /// `seed` tells this machine and start from others, so that a fleet does not ask at once.
    pub(crate) fn new(settings: &Settings, seed: &[&[u8]]) -> Self {
        let source = settings.policy_source.clone();
        Self {
            pace: Pace::new(source.as_ref(), digest(seed)),
            needs_signature: settings.require_signed_policies || source.as_ref().is_some_and(PolicySource::is_remote),
            source,
            state: State::Off,
            in_force: None,
            former: None,
            offered: None,
            next: None,
            failure: None,
            refusal: None,
            told: None,
            refused: 0,
            failed: 0,
        }
    }

    /// The listeners are open; from now on the source is asked.
    pub(crate) fn begin(&mut self, turn: &Turn<'_>) {
        if self.source.is_some() {
            self.state = State::Waiting { at: turn.now.monotonic.plus_millis(self.pace.first()) };
        }
    }

    /// When it has something to do.
    pub(crate) const fn next_deadline(&self) -> Option<Deadline> {
        match self.state {
            State::Off | State::Listening { .. } => None,
            State::Waiting { at } => Some(Deadline { at, reason: "the policy source is asked" }),
            State::Asking { until } => Some(Deadline { at: until, reason: "the policy source does not answer" }),
        }
    }

    /// Asks, or gives up waiting for an answer; early calls do nothing.
    pub(crate) fn on_deadline(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.monotonic;
        match self.state {
            State::Waiting { at } if at <= now => {
                self.pace.asks();
                self.state = State::Asking { until: now.plus_seconds(ANSWER_SECONDS) };
                let etag = self.in_force.as_ref().filter(|found| self.is_from(&found.source));
                let etag = etag.and_then(|found| found.etag.clone());
                turn.effects.push(Effect::Fleet(FleetOrder::Ask { etag }));
            }
            State::Asking { until } if until <= now => {
                self.on_failed(format!("it did not answer within {ANSWER_SECONDS} s"), turn);
            }
            State::Off | State::Waiting { .. } | State::Asking { .. } | State::Listening { .. } => {}
        }
    }

    /// Takes a report; a bundle comes back that the policies have to judge, answered by [`Self::on_judged`].
    pub(crate) fn on_report(&mut self, report: FleetReport, turn: &mut Turn<'_>) -> Option<Offer> {
        match report {
            FleetReport::Kept { bundle, opened } => return self.on_kept(bundle, opened, turn),
            FleetReport::NotModified => self.answered(turn),
            FleetReport::Subscribed => {
                if let State::Asking { .. } = self.state {
                    self.state = State::Listening { since: turn.now.monotonic };
                }
                self.recovered(turn);
            }
            FleetReport::Failed(why) => self.on_failed(why, turn),
            FleetReport::Received(received) => {
                self.answered(turn);
                if self.offered.is_some() {
                    self.line_up(*received, turn);
                    return None;
                }
                return self.on_received(*received, turn);
            }
        }
        None
    }

    /// What became of the policies of the last bundle: all are applied and on disk with it, or why none is. The next bundle, if one
    /// came meanwhile.
    pub(crate) fn on_judged(&mut self, result: Result<(), String>, turn: &mut Turn<'_>) -> Option<Offer> {
        let offered = self.offered.take()?;
        let (name, sequence) = (offered.in_force.name.clone(), offered.in_force.sequence);
        match result {
            Ok(()) => {
                if offered.is_new {
                    turn.log(Level::Information, "PolicyBundle", format!("Bundle '{name}' {sequence} is in force."));
                }
                self.refusal = None;
                self.in_force = Some(offered.in_force);
            }
            Err(why) => {
                let why = format!("Bundle '{name}' {sequence} was refused whole: {why}");
                let content = offered.in_force.content;
                if !offered.is_new {
                    // It was applied when it was accepted, and no older one may come after it.
                    self.in_force = Some(offered.in_force);
                } else if let State::Listening { .. } = self.state {
                    // A broker sends it once; what stood against its policies (a full disk, a plugin that is not there yet) may pass.
                    self.state = State::Waiting { at: turn.now.monotonic.plus_millis(self.pace.after_refusal()) };
                }
                self.refuse(content, why, turn);
            }
        }
        let (_, next) = self.next.take()?;
        self.on_received(next, turn)
    }

    /// Came while another one is judged. What does not count takes no place, as a broker sends nothing twice.
    fn line_up(&mut self, received: Received, turn: &mut Turn<'_>) {
        let Some(Sound { bundle, .. }) = self.sound(&received.document, received.opened.clone(), turn) else { return };
        match &self.next {
            Some((waiting, _)) if *waiting > bundle.sequence => {
                let (name, sequence) = (&bundle.name, bundle.sequence);
                let why = format!("Bundle '{name}' {sequence} was refused whole: number {waiting} came before it.");
                self.refuse(bundle.digest(), why, turn);
            }
            Some(_) | None => self.next = Some((bundle.sequence, received)),
        }
    }

    /// What was received, where its size, signature, form and name are as they must be; else it is refused.
    fn sound(&mut self, document: &[u8], opened: Result<Opened, String>, turn: &mut Turn<'_>) -> Option<Sound> {
        let found = if document.len() > BUNDLE_BYTES {
            Err(format!("it has {} bytes; at most {BUNDLE_BYTES} are read.", document.len()))
        } else {
            self.verified(opened, turn.now.wall, turn.signers)
        };
        match found {
            Ok(sound) => Some(sound),
            Err(why) => {
                let source = self.source.as_ref().map(ToString::to_string).unwrap_or_default();
                self.refuse(digest(&[document]), format!("A bundle of {source} was refused whole: {why}"), turn);
                None
            }
        }
    }

    /// What people are shown; `None` where there is no source.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let shown = |found: &InForce| BundleLine {
            name: found.name.clone(),
            sequence: found.sequence,
            accepted_at: found.at.to_rfc3339(),
        };
        Some(Standing {
            source: self.source.as_ref()?.to_string(),
            state: match self.state {
                State::Off | State::Waiting { .. } => "waiting",
                State::Asking { .. } => "asking",
                State::Listening { .. } => "listening",
            },
            bundle: self.in_force.as_ref().map(shown),
            problem: self.failure.as_ref().or(self.refusal.as_ref().map(|(_, why)| why)).cloned(),
            refused: self.refused,
            failed: self.failed,
        })
    }

    fn is_from(&self, source: &str) -> bool {
        self.source.as_ref().is_some_and(|own| own.to_string() == source)
    }

    /// The last good one of former starts. It is judged as on the day on which it was accepted: a certificate that is over since
    /// takes nothing back, a signer that counts no more does.
    fn on_kept(&mut self, kept: KeptBundle, opened: Result<Opened, String>, turn: &mut Turn<'_>) -> Option<Offer> {
        self.source.as_ref()?;
        let found = opened.as_ref().ok().and_then(|opened| opened.bundle.as_ref().ok());
        let former = found.map(|bundle| Former {
            name: bundle.name.clone(),
            sequence: bundle.sequence,
            content: bundle.digest(),
        });
        match self.verified(opened, kept.at, turn.signers) {
            Ok(Sound { bundle, signer }) => {
                let (name, sequence, content) = (bundle.name.clone(), bundle.sequence, bundle.digest());
                let KeptBundle { source, etag, at, .. } = kept;
                let in_force = InForce { name, sequence, content, source, etag, at, signer: signer.clone() };
                self.offered = Some(Offered { in_force, is_new: false });
                Some(Offer { policies: bundle.policies, signer, keep: None })
            }
            Err(why) => {
                let bars = former.as_ref().map(|former| {
                    format!(" Its number {} still keeps out whatever comes with a lower one.", former.sequence)
                });
                let why = format!("The bundle that was kept counts no more: {why}{}", bars.unwrap_or_default());
                self.former = former;
                self.refuse(digest(&[&kept.document]), why, turn);
                None
            }
        }
    }

    fn on_received(&mut self, received: Received, turn: &mut Turn<'_>) -> Option<Offer> {
        let Received { document, etag, opened } = received;
        let etag = etag.filter(|etag| etag.len() <= ETAG_BYTES);
        let source = self.source.as_ref()?.to_string();
        let Sound { bundle, signer } = self.sound(&document, opened, turn)?;
        let (name, sequence, content) = (bundle.name.clone(), bundle.sequence, bundle.digest());
        let known = self.in_force.as_mut().filter(|known| known.name == name);
        if let Some(known) =
            known.filter(|known| (known.sequence, known.content) == (sequence, content) && known.signer == signer)
        {
            (known.etag, known.source) = (etag, source);
            self.refusal = None;
            return None;
        }
        if let Some(stands) = self.stands_against(&name, sequence, content) {
            let why = format!(
                "Bundle '{name}' {sequence} was refused whole: {stands}, and only a higher one takes its place. Give the bundle a higher sequence."
            );
            self.refuse(content, why, turn);
            return None;
        }
        let in_force = InForce { name, sequence, content, source, etag, at: turn.now.wall, signer: signer.clone() };
        let InForce { source, etag, at, .. } = &in_force;
        let keep = Some(KeptBundle { source: source.clone(), etag: etag.clone(), document, at: *at });
        self.offered = Some(Offered { in_force, is_new: true });
        Some(Offer { policies: bundle.policies, signer, keep })
    }

    /// The number that a bundle does not exceed, as a phrase. The former one may come again as it was, signed by somebody who counts.
    fn stands_against(&self, name: &str, sequence: u64, content: u64) -> Option<String> {
        if let Some(known) = self.in_force.as_ref().filter(|known| known.name == name) {
            // The same one, signed by somebody else, is no older one: its record gets the new signer before the former one leaves.
            let is_it = (sequence, content) == (known.sequence, known.content);
            return (sequence <= known.sequence && !is_it).then(|| format!("number {} is in force", known.sequence));
        }
        let former = self.former.as_ref().filter(|former| former.name == name)?;
        let is_it = (sequence, content) == (former.sequence, former.content);
        (sequence <= former.sequence && !is_it)
            .then(|| format!("number {} was in force while its signer counted", former.sequence))
    }

    /// Signature, form and name.
    fn verified(&self, opened: Result<Opened, String>, at: WallTime, signers: &[String]) -> Result<Sound, String> {
        let Opened { bundle, signature } = opened?;
        let mut signer = None;
        match signature {
            Some(facts) => {
                let policy = SignaturePolicy { pins: signers, non_admin: &[] };
                if let Some(refusal) = Verdict::of_own(&facts, policy, at).refusal {
                    return Err(format!("{} {SIGN}", refusal.why));
                }
                signer = policy.signer_of(&facts).map(PolicySigner::of);
            }
            None if self.needs_signature => {
                let needed = "it is not signed, as everything must be that comes over a network or where Settings:RequireSignedPolicies is true.";
                return Err(format!("{needed} {SIGN}"));
            }
            None => {}
        }
        let bundle = bundle?;
        let wanted = self.source.as_ref().and_then(|source| source.bundle.as_deref());
        let known = self.in_force.as_ref().map(|known| known.name.as_str());
        match wanted.or(known).or(self.former.as_ref().map(|former| former.name.as_str())) {
            Some(wanted) if wanted != bundle.name => Err(format!(
                "its name is '{}', and this machine takes '{wanted}' alone. Where that is meant, set Settings:PolicySource:Bundle.",
                bundle.name
            )),
            Some(_) | None => Ok(Sound { bundle, signer }),
        }
    }
}
