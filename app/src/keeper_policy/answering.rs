//! A question to its answer: the compiled policies, and the facts that no question is believed in.

use std::io;
use std::path::{Path, PathBuf};

use castellan_core::config::Settings;
use castellan_core::log_message::Level;
use castellan_core::policy::basis::Basis;
use castellan_core::policy::message::{ANSWER_TOPIC, Answer, Known, Question};
use castellan_core::policy::{Decision, Explanation, LocalTime, PolicySet, Verdict};
use castellan_process::account;
use serde::Serialize;
use serde_json::Value;

use crate::clock::Clock;
use crate::failure::Failure;
use crate::policies_in_force::PoliciesInForce;
use crate::policy_files::PolicyFiles;
use crate::surroundings::{path_variables, time_zone};

/// What the topic of an answer begins with: what the plugin may publish, and so what a question may name.
const ANSWERS: &str = "KeeperPolicy/";
/// Characters of a payload that a complaint shows.
const SHOWN: usize = 200;

/// The policies of a root, compiled.
#[derive(Debug)]
pub(super) struct Policies {
    root: PathBuf,
    found: PoliciesInForce,
    files: PolicyFiles,
    set: PolicySet,
    /// The digest of the files.
    digest: String,
    clock: Clock,
}

/// The answer to a message that is no question: without what was asked, so that it is no answer to any.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    id: String,
    request_id: String,
    #[serde(flatten)]
    decision: Decision,
}

/// What a message led to.
pub(super) struct Answered {
    /// Topic and payload.
    pub(super) answer: Option<(String, Vec<u8>)>,
    /// What was wrong with the message.
    pub(super) complaint: Option<String>,
}

impl Policies {
    /// Reads those of a root, by the settings of the agent that runs on it.
    pub(super) fn open(root: &Path, settings: Settings) -> Result<Self, Failure> {
        let mut found = PoliciesInForce::by(root, settings)?;
        let clock = Clock::start();
        let files = found.read(clock.now().wall);
        let (set, digest) = (files.compile(), files.digest());
        Ok(Self { root: root.to_owned(), found, files, set, digest, clock })
    }

    /// Returns once something may have changed in a folder.
    pub(super) async fn changed(&self) -> io::Result<()> {
        self.found.changed().await
    }

    /// Reads them again where something may have changed; how they stand then.
    pub(super) fn read_again(&mut self) -> io::Result<Option<(Level, String)>> {
        if !self.found.have_changed()? {
            return Ok(None);
        }
        self.files = self.found.read(self.clock.now().wall);
        (self.set, self.digest) = (self.files.compile(), self.files.digest());
        Ok(Some(self.standing()))
    }

    /// How they stand, for the log.
    pub(super) fn standing(&self) -> (Level, String) {
        let count = self.set.len();
        let faults: Vec<String> =
            self.set.unreadable().iter().map(|file| format!("{}: {}", file.id, file.why)).collect();
        if faults.is_empty() {
            return (Level::Information, format!("{count} policies about privileges are in force."));
        }
        let told = format!(
            "{count} policies about privileges are in force, and what follows cannot be read, so elevation is denied until it is mended \
             (castellan policy lint): {}",
            faults.join(" ")
        );
        (Level::Error, told)
    }

    /// Answers a message; one that cannot be read is denied where it says whom to answer.
    pub(super) fn answer(&self, payload: &[u8]) -> Answered {
        let question = match Question::parse(payload) {
            Ok(question) => question,
            Err(why) => return not_understood(payload, &why),
        };
        if !question.respond_to_topic.starts_with(ANSWERS) {
            let topic = question.respond_to_topic.escape_default();
            let complaint = format!("The topic '{topic}' gets no answers; RespondToTopic must begin with {ANSWERS}");
            return Answered { answer: None, complaint: Some(complaint) };
        }
        let topic = question.respond_to_topic.clone();
        let (answer, complaint) = match self.known(&question) {
            Ok(known) => (self.decided(&question, known), None),
            Err(why) => (question.answer(denied(&why)), Some(why)),
        };
        written(topic, &answer, complaint)
    }

    /// The answer of the policies. What it was made of goes to nobody but the agent.
    fn decided(&self, question: &Question, known: Known) -> Answer {
        let request = question.clone().into_request(known.clone());
        let answer = question.judged(&self.set.evaluate(&request));
        let is_asked_by_agent = question.respond_to_topic == ANSWER_TOPIC;
        let basis = is_asked_by_agent.then(|| {
            let documents = self.files.deciding(&self.set, &request, &answer.decision);
            Basis { known, policy_set: self.digest.clone(), documents }
        });
        Answer { basis, ..answer }
    }

    /// What the system knows of the user.
    fn known(&self, question: &Question) -> Result<Known, String> {
        let asked = &question.meta_data;
        let (account, groups) = account(&asked.user_name)?;
        if account.uid != asked.user_id {
            let named = asked.user_name.escape_default();
            return Err(format!("the user id of '{named}' is {}, not {}", account.uid, asked.user_id));
        }
        let root = self.root.display().to_string();
        Ok(Known {
            groups,
            at: LocalTime::new(self.clock.now().wall, &time_zone())?,
            variables: path_variables(&root, &account.home),
        })
    }
}

fn written(topic: String, answer: &impl Serialize, complaint: Option<String>) -> Answered {
    match serde_json::to_vec(answer) {
        Ok(payload) => Answered { answer: Some((topic, payload)), complaint },
        Err(error) => Answered { answer: None, complaint: Some(format!("An answer could not be written: {error}.")) },
    }
}

/// The denial of a message that is no question, to whoever it names.
fn not_understood(payload: &[u8], why: &str) -> Answered {
    let shown: String = String::from_utf8_lossy(payload).chars().take(SHOWN).collect();
    let complaint = format!("A message was not understood: {why} It begins: {}", shown.escape_default());
    let message: Value = serde_json::from_slice(payload).unwrap_or_default();
    let text = |path: &str| message.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let topic = text("/RespondToTopic").filter(|topic| topic.starts_with(ANSWERS) && !topic.contains(['+', '#', '\0']));
    let (Some(topic), Some(id)) = (topic, text("/Id")) else {
        return Answered { answer: None, complaint: Some(complaint) };
    };
    let request_id = text("/MetaData/RequestId").unwrap_or_default();
    written(topic, &Refusal { id, request_id, decision: denied(why) }, Some(complaint))
}

/// The decision where no policy could be asked.
fn denied(why: &str) -> Decision {
    Decision {
        verdict: Verdict::Deny,
        policies: Vec::new(),
        notify: Vec::new(),
        audit: false,
        record: false,
        risk_level: 50,
        approvers: Vec::new(),
        explanation: Explanation {
            what: String::from("It is denied: what was asked cannot be judged."),
            why: format!("{}.", why.trim_end_matches('.')),
            fix: String::from("See docs/elevation.md for the form of a question."),
            nearest: None,
            policies: Vec::new(),
            left_out: 0,
        },
    }
}
