//! The two messages on `KeeperPolicy`: a question about a request, and the answer to it. Names are as in `RequestMessage`: their case
//! matters.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::basis::Basis;
use super::{Decision, Evaluation, LocalTime, PolicyType, Request, Signer, User};
use crate::acl::topic::TopicName;
use crate::json::{Json, Names};
use crate::limits::POLICY_MESSAGE_BYTES;

/// `Version` of the messages.
pub(crate) const VERSION: u32 = 1;
/// Where the agent reads answers to its own questions.
pub const ANSWER_TOPIC: &str = "KeeperPolicy/answers";
/// `MetaData.MessageType` of a question.
const MESSAGE_TYPE: &str = "PolicyEvaluation";
/// Hexadecimal digits of a SHA-1.
const SHA1_DIGITS: usize = 40;
/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;
/// Policies that an answer lists; those that decided come first.
const LISTED: usize = 20;

/// A question: `{"Id","Version":1,"RespondToTopic","MetaData":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Question {
    /// What names the message.
    pub id: String,
    /// 1.
    pub version: u32,
    /// Where the answer goes.
    pub respond_to_topic: String,
    /// What is asked.
    pub meta_data: Asked,
}

/// What a question asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Asked {
    /// `PolicyEvaluation`.
    pub message_type: String,
    /// What it is about.
    pub policy_type: PolicyType,
    /// Name of the account.
    pub user_name: String,
    /// User id.
    pub user_id: u32,
    /// Host name of the machine.
    pub machine_name: String,
    /// The file: absolute, links resolved.
    pub file_path: String,
    /// The command as it was typed.
    pub command_line: String,
    /// The arguments, without the program.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Whether the user has a desktop.
    #[serde(default)]
    pub has_desktop: bool,
    /// What names the request.
    pub request_id: String,
    /// What names the session of the user, or empty.
    #[serde(default)]
    pub session_id: String,
    /// SHA-1 and SHA-256 of the certificate of who signed the file, in lower-case hex digits; empty where nobody did. It is believed: the
    /// agent verifies it for its own questions, and an answer to anything else is none to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signer_thumbprints: Vec<String>,
}

/// What whoever answers a question knows itself: no question is believed in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Known {
    /// Names of the user's groups.
    pub groups: BTreeSet<String>,
    /// Now.
    pub at: LocalTime,
    /// Values of path variables for the user.
    pub variables: BTreeMap<String, String>,
}

/// The answer: `{"Id","RequestId","MetaData","Decision","Controls","PolicyIds","Explanation",…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    /// That of the question.
    pub id: String,
    /// That of the request.
    pub request_id: String,
    /// What was asked. Whoever may ask may name any `Id`, and any topic for answers: an answer is one to this question alone.
    pub meta_data: Asked,
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
    /// What it was made of; for the agent alone, which keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
}

impl Asked {
    /// What a request asks, in the words of a message; what whoever answers knows itself is left out.
    pub(crate) fn of(request: Request, request_id: String) -> Self {
        let Request { policy_type, user, machine, file_path, command_line, arguments, has_desktop, signer, .. } =
            request;
        Self {
            message_type: String::from(MESSAGE_TYPE),
            policy_type,
            user_name: user.name,
            user_id: user.uid,
            machine_name: machine,
            file_path,
            command_line,
            arguments,
            has_desktop,
            session_id: request_id.clone(),
            request_id,
            signer_thumbprints: signer.map(|Signer { sha1, sha256 }| Vec::from([sha1, sha256])).unwrap_or_default(),
        }
    }

    /// The signer that its thumbprints name, where there is one of each kind.
    fn signer(&self) -> Option<Signer> {
        let of = |digits: usize| self.signer_thumbprints.iter().find(|print| print.len() == digits).cloned();
        Some(Signer { sha1: of(SHA1_DIGITS)?, sha256: of(SHA256_DIGITS)? })
    }
}

impl Question {
    /// Reads a question.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(payload: &[u8]) -> Result<Self, String> {
        let question: Self = read(payload, "question")?;
        if question.version != VERSION {
            return Err(format!("Version is {}; it must be {VERSION}.", question.version));
        }
        if question.meta_data.message_type != MESSAGE_TYPE {
            return Err(format!("MetaData.MessageType must be {MESSAGE_TYPE}."));
        }
        match TopicName::parse(&question.respond_to_topic) {
            Ok(_) => Ok(question),
            Err(error) => Err(format!("RespondToTopic is no topic: {error}")),
        }
    }

    /// What it asks, with what is known beside it.
    pub fn into_request(self, known: Known) -> Request {
        let signer = self.meta_data.signer();
        let Asked {
            policy_type,
            user_name,
            user_id,
            machine_name,
            file_path,
            command_line,
            arguments,
            has_desktop,
            ..
        } = self.meta_data;
        Request {
            policy_type,
            user: User { uid: user_id, name: user_name, groups: known.groups },
            machine: machine_name,
            file_path,
            command_line,
            arguments,
            has_desktop,
            at: known.at,
            signer,
            variables: known.variables,
        }
    }

    /// The answer of policies; of many its explanation lists the first, which decided.
    pub fn judged(&self, evaluation: &Evaluation<'_>) -> Answer {
        self.answer(evaluation.decision_listing(LISTED))
    }

    /// The answer with a decision.
    pub fn answer(&self, decision: Decision) -> Answer {
        let (id, meta_data) = (self.id.clone(), self.meta_data.clone());
        Answer { id, request_id: meta_data.request_id.clone(), meta_data, decision, basis: None }
    }
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(payload: &[u8]) -> Result<Self, String> {
        read(payload, "answer")
    }
}

/// Reads a message: bounded, without duplicate names, and as its type wants it.
fn read<'de, T: Deserialize<'de>>(payload: &[u8], what: &str) -> Result<T, String> {
    let json = Json::parse_as(payload, POLICY_MESSAGE_BYTES, Names::Exact)
        .map_err(|error| format!("the payload is not one JSON object: {error}"))?;
    T::deserialize(json.to_value()).map_err(|error| format!("the payload is no {what} of KeeperPolicy: {error}."))
}
