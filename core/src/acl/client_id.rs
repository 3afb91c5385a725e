//! MQTT client ids: the three documented forms, held against who the process really is (seed 000), and an administrator's.
//!
//! `{jobId}_{Token}_{pid}` for a task of a job; `{Plugin}_{pid}` or `{Plugin}_{user}_{pid}` for a plugin. A user name may
//! have underscores, so the last two look alike and cannot be told apart by form: the registry says what a process is,
//! and the client id is only held against that.

use alloc::format;
use alloc::string::String;

use crate::id::Component;
use crate::why::Explanation;

#[cfg(test)]
mod tests;

/// The largest process id that Linux gives (`PID_MAX_LIMIT`).
pub const PID_MAX: u32 = 4_194_304;
/// Bytes of a client id: a component id, a token or user name, a process id and room; more is nobody's.
pub const CLIENT_ID_BYTES: usize = 256;

/// The client id of an administrator's tool with this process id; no job or plugin can have it, as no id has an `@`.
pub fn of_administrator(pid: u32) -> String {
    format!("@admin_{pid}")
}

/// What a client id is worth for a process that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Judgement {
    /// The documented form of this very component and process.
    Fits,
    /// Its own id and process, but the other kind's form: connected, without any permission.
    WrongForm(Explanation),
    /// Another component's id, another process's number, or no form at all: `ClientIdentifierNotValid`.
    Refused(Explanation),
}

/// The process id that a client id claims: decimal ASCII from 1 to 4194304 after the last underscore, no sign, no leading zero.
///
/// # Errors
/// What is wrong with the client id, for the CONNACK and the record.
pub fn claimed_pid(client_id: &str) -> Result<u32, Explanation> {
    split(client_id).map(|(_, pid)| pid)
}

/// Holds a client id against the component and process id that the registry vouches for. `user` is the name of the account
/// that the process runs as: only with it is `{Plugin}_{user}_{pid}` the plugin's own form and not the job triple.
pub fn judge(client_id: &str, component: &Component, pid: u32, user: &str) -> Judgement {
    let (name, claimed) = match split(client_id) {
        Ok(parts) => parts,
        Err(explanation) => return Judgement::Refused(explanation),
    };
    if claimed != pid {
        return Judgement::Refused(refusal(
            client_id,
            format!("It claims process {claimed}, but the process at the other end is {pid}."),
            String::from("Form the client id with the process's own id."),
        ));
    }
    if let Component::Program(_) = component {
        if !name.starts_with('@') {
            return Judgement::Fits;
        }
        let why = String::from("A client id that begins with '@' is an administrator's.");
        return Judgement::Refused(refusal(client_id, why, form_of(component)));
    }
    let own = component.id();
    let middle = match name.strip_prefix(own) {
        Some("") => None,
        Some(rest) if rest.starts_with('_') => rest.strip_prefix('_'),
        Some(_) | None => {
            return Judgement::Refused(refusal(
                client_id,
                format!("The process belongs to {component}, and the client id does not begin with '{own}_'."),
                form_of(component),
            ));
        }
    };
    match component {
        Component::Job(_) => judge_job(client_id, component, middle),
        Component::Plugin(_) => judge_plugin(client_id, component, middle, user),
        Component::Administrator(_) | Component::Program(_) => Judgement::Refused(refusal(
            client_id,
            String::from("A process that the agent started is no administrator."),
            form_of(component),
        )),
    }
}

fn judge_job(client_id: &str, component: &Component, token: Option<&str>) -> Judgement {
    match token {
        Some(token) if token.is_empty() || token.contains(['/', '\\']) => Judgement::Refused(refusal(
            client_id,
            String::from("Its middle part is empty or has path characters."),
            form_of(component),
        )),
        Some(token) if !token.contains('_') => Judgement::Fits,
        Some(_) | None => Judgement::WrongForm(wrong_form(client_id, component, "a plugin")),
    }
}

fn judge_plugin(client_id: &str, component: &Component, middle: Option<&str>, user: &str) -> Judgement {
    match middle {
        None => Judgement::Fits,
        Some(middle) if middle.is_empty() || middle.contains(['/', '\\']) => Judgement::Refused(refusal(
            client_id,
            String::from("Its middle part is empty or has path characters."),
            form_of(component),
        )),
        Some(middle) if middle == user => Judgement::Fits,
        Some(_) => Judgement::WrongForm(wrong_form(client_id, component, "a job's task")),
    }
}

/// Everything before the last underscore, and the process id after it.
fn split(client_id: &str) -> Result<(&str, u32), Explanation> {
    let fail = |why: String| {
        Err(refusal(
            client_id,
            why,
            String::from("Use {jobId}_{Token}_{pid} for a task, {Plugin}_{pid} or {Plugin}_{user}_{pid} for a plugin."),
        ))
    };
    if client_id.is_empty() {
        return fail(String::from("It is empty, and the broker gives out no client ids."));
    }
    if client_id.len() > CLIENT_ID_BYTES || client_id.chars().any(char::is_control) {
        return fail(format!("It has more than {CLIENT_ID_BYTES} bytes or a control character."));
    }
    let Some((name, digits)) = client_id.rsplit_once('_') else {
        return fail(String::from("It has no underscore."));
    };
    if name.is_empty() {
        return fail(String::from("Nothing stands before the process id."));
    }
    match pid(digits) {
        Some(pid) => Ok((name, pid)),
        None => fail(format!(
            "What follows its last underscore is not a process id (decimal, 1 to {PID_MAX}, no leading zero)."
        )),
    }
}

/// A process id: decimal ASCII from 1 to [`PID_MAX`], no sign, no leading zero.
pub(crate) fn pid(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|pid| plain && *pid <= PID_MAX)
}

fn refusal(client_id: &str, why: String, fix: String) -> Explanation {
    Explanation::new(format!("The client id '{}' is refused.", escaped(client_id)), why, fix)
}

fn wrong_form(client_id: &str, component: &Component, other: &str) -> Explanation {
    Explanation::new(
        format!("The client '{}' is connected without any permission.", escaped(client_id)),
        format!("Its process belongs to {component}, but its client id has the form of {other}."),
        form_of(component),
    )
}

fn form_of(component: &Component) -> String {
    match component {
        Component::Job(id) => {
            format!("Use '{id}_{{Token}}_{{pid}}', where the token has no underscore and no path character.")
        }
        Component::Administrator(_) => String::from("Use '@admin_{pid}' with an admin client certificate."),
        Component::Program(name) => format!("Use '{name}_{{pid}}'."),
        Component::Plugin(id) => format!("Use '{id}_{{pid}}', or '{id}_{{user}}_{{pid}}' in a user session."),
    }
}

/// A client id as it may stand in a log line.
fn escaped(client_id: &str) -> String {
    client_id.chars().take(CLIENT_ID_BYTES).flat_map(char::escape_debug).collect()
}
