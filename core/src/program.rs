//! Whether a file may be executed, and by what: itself or an interpreter (contract section 3, `scriptType`).
//!
//! | `scriptType` | the file | executed by |
//! | --- | --- | --- |
//! | `None` | has the x bit | itself, whatever it is |
//! | `Shell`, `Bash`, `Python`, `PowerShell` | no binary | that interpreter; no x bit needed |
//! | `Auto` | a binary or a file with `#!`, with the x bit | itself |
//! | `Auto` | no binary, named `.sh`, `.bash`, `.py` or `.ps1` | that interpreter; no x bit needed |
//! | `Auto` | any other with the x bit | itself; the kernel says what is wrong with it |
//! | any | any other | nothing: refused, with the fix |
//!
//! Script and interpreter alike must be safe: nobody but root and the agent's own user may change them, nor a folder above. That
//! holds for the interpreter of a `#!` line as well, and no link leads a plugin's file out of the root that it is named below.

#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::effect::Way;
use crate::event::{ExecutableFacts, Opening};
use crate::job::task::{ScriptType, Task};
use crate::policy::Signer;
use crate::time::WallTime;
use crate::trust::signature::{SignaturePolicy, Verdict};
use crate::user::Person;

/// Why a file is not executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// Code of the finding.
    pub(crate) code: &'static str,
    /// A sentence with the fix.
    pub(crate) why: String,
}

/// A file that may be executed, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fit {
    /// How.
    pub(crate) way: Way,
    /// What the record shows in place of the command; empty where the command says it all.
    pub(crate) shown: Vec<String>,
    /// As whom; `None` means as the agent itself.
    pub(crate) person: Option<Box<Person>>,
}

impl Fit {
    /// By itself, as the agent.
    pub(crate) const DIRECTLY: Self = Self { way: Way::Directly, shown: Vec::new(), person: None };
}

/// An interpreter that scripts are given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interpreter {
    Shell,
    Bash,
    Python,
    PowerShell,
}

impl Interpreter {
    /// The one that a task's script may need; `None` where it is executed by itself in any case.
    pub(crate) fn of(task: &Task) -> Option<Self> {
        match task.script_type {
            ScriptType::None => None,
            ScriptType::Shell => Some(Self::Shell),
            ScriptType::Bash => Some(Self::Bash),
            ScriptType::Python => Some(Self::Python),
            ScriptType::PowerShell => Some(Self::PowerShell),
            ScriptType::Auto => {
                let name = task.executable_path.as_ref().unwrap_or(&task.command);
                let (_, extension) = name.rsplit('/').next()?.rsplit_once('.')?;
                match extension.to_ascii_lowercase().as_str() {
                    "sh" => Some(Self::Shell),
                    "bash" => Some(Self::Bash),
                    "py" => Some(Self::Python),
                    "ps1" => Some(Self::PowerShell),
                    _ => None,
                }
            }
        }
    }

    /// Its names on the search path, best first.
    pub(crate) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Shell => &["sh"],
            Self::Bash => &["bash"],
            Self::Python => &["python3", "python"],
            Self::PowerShell => &["pwsh"],
        }
    }

    /// What it is given before the script's path.
    fn arguments(self) -> Vec<String> {
        let arguments: &[&str] = match self {
            Self::Shell | Self::Bash | Self::Python => &[],
            Self::PowerShell => &["-NoProfile", "-NonInteractive", "-File"],
        };
        arguments.iter().map(ToString::to_string).collect()
    }
}

/// How a task's file is executed, or why it is not.
pub(crate) fn of_task(task: &Task, facts: &ExecutableFacts) -> Result<Fit, Unfit> {
    let interpreter = Interpreter::of(task);
    let by_itself = match task.script_type {
        ScriptType::None => true,
        ScriptType::Auto => {
            let complete = matches!(facts.opening, Opening::Binary | Opening::HashBang);
            interpreter.is_none() || (facts.executable && (complete || facts.opening == Opening::Unreadable))
        }
        ScriptType::Shell | ScriptType::Bash | ScriptType::Python | ScriptType::PowerShell => false,
    };
    match interpreter.filter(|_| !by_itself) {
        Some(interpreter) => interpreted(task, interpreter, facts),
        None => by_file(facts).map(|()| Fit::DIRECTLY),
    }
}

/// Whether a file may be executed as a plugin: by itself, and signed as plugins have to be.
pub(crate) fn of_plugin(facts: &ExecutableFacts, policy: SignaturePolicy<'_>, now: WallTime) -> Result<(), Unfit> {
    by_file(facts).and_then(|()| signed(facts, policy, now))
}

/// Whether a file may be executed by itself.
pub(crate) fn by_file(facts: &ExecutableFacts) -> Result<(), Unfit> {
    exists(facts)?;
    if !facts.executable {
        let path = &facts.path;
        let why = format!("'{path}' is not a regular file that may be executed; run chmod 755 on it.");
        return Err(Unfit { code: "binary-not-safe", why });
    }
    safe(facts, "binary-not-safe")?;
    if facts.opening == Opening::HashBang { by_first_line(facts) } else { Ok(()) }
}

/// Whether the file is signed as plugins have to be; it is where no signer is trusted (contract section 4).
pub(crate) fn signed(facts: &ExecutableFacts, policy: SignaturePolicy<'_>, now: WallTime) -> Result<(), Unfit> {
    if policy.pins.is_empty() {
        return Ok(());
    }
    let not_signed = |why: String| Unfit { code: "binary-not-signed", why };
    match &facts.signature {
        Some(Ok(signature)) => match Verdict::of_own(signature, policy, now).refusal {
            None => Ok(()),
            Some(refusal) => Err(not_signed(refusal.to_string())),
        },
        Some(Err(why)) => Err(not_signed(format!("the signature of '{}' cannot be read: {why}.", facts.path))),
        None => Err(not_signed(format!("the signature of '{}' was not looked at.", facts.path))),
    }
}

/// Who signed the file, where it is signed as plugins have to be.
pub(crate) fn signer(facts: &ExecutableFacts, policy: SignaturePolicy<'_>, now: WallTime) -> Option<Signer> {
    let Some(Ok(signature)) = &facts.signature else { return None };
    let is_trusted = Verdict::of_own(signature, policy, now).is_trusted();
    let certificate = policy.signer_of(signature).filter(|_| is_trusted)?;
    Some(Signer { sha1: certificate.sha1.clone(), sha256: certificate.sha256.clone() })
}

/// Whether what the `#!` line of a script names may be executed.
fn by_first_line(facts: &ExecutableFacts) -> Result<(), Unfit> {
    let path = &facts.path;
    let Some(named) = facts.hash_bang.as_deref().filter(|named| named.exists) else {
        let named = facts.hash_bang.as_ref().map_or("", |named| &named.path);
        let why = format!(
            "the '#!' line of '{path}' names {named:?}, which is no file; install it, write an absolute path of less than 250 \
             bytes, and end lines with a line feed alone."
        );
        return Err(Unfit { code: "interpreter-not-found", why });
    };
    by_file(named).map_err(|unfit| not_safe_for(path, unfit))
}

fn not_safe_for(script: &str, unfit: Unfit) -> Unfit {
    Unfit { code: "interpreter-not-safe", why: format!("'{script}' needs an interpreter: {}", unfit.why) }
}

fn exists(facts: &ExecutableFacts) -> Result<(), Unfit> {
    if facts.exists {
        return Ok(());
    }
    let why = format!("'{}' does not exist; deploy the binary first.", facts.path);
    Err(Unfit { code: "binary-not-found", why })
}

fn safe(facts: &ExecutableFacts, code: &'static str) -> Result<(), Unfit> {
    let path = &facts.path;
    let why = match (&facts.writable_by_others, &facts.leads_out) {
        (Some(place), _) => format!(
            "'{path}' is not safe to run: {place} may be changed by others than root and the agent's own user; \
             run chmod go-w and chown on it."
        ),
        (None, Some(place)) => format!(
            "'{path}' is a link out of its root, to '{place}'; put the file itself there, or name where it is by its \
             absolute path."
        ),
        (None, None) => return Ok(()),
    };
    Err(Unfit { code, why })
}

fn interpreted(task: &Task, interpreter: Interpreter, facts: &ExecutableFacts) -> Result<Fit, Unfit> {
    exists(facts)?;
    let path = &facts.path;
    match facts.opening {
        Opening::Unreadable => {
            let why = format!("'{path}' is not a regular file that may be read; run chmod u+r on it.");
            return Err(Unfit { code: "binary-not-safe", why });
        }
        Opening::Binary => {
            let why = format!(
                "'{path}' is a program, not a script for {}; set \"scriptType\": \"None\" and run chmod 755 on it.",
                interpreter.names().join(" or ")
            );
            return Err(Unfit { code: "binary-not-safe", why });
        }
        Opening::HashBang | Opening::Other => {}
    }
    safe(facts, "binary-not-safe")?;
    let missing = ExecutableFacts::default();
    let program = facts.interpreter.as_deref().unwrap_or(&missing);
    if !program.exists {
        let why = format!(
            "'{path}' needs {} ({}), which is in no folder of the agent's PATH; install it, or give the script a '#!' line \
             and the x bit.",
            interpreter.names().join(" or "),
            if task.script_type == ScriptType::Auto { "by its extension" } else { "by scriptType" },
        );
        return Err(Unfit { code: "interpreter-not-found", why });
    }
    by_file(program).map_err(|unfit| not_safe_for(path, unfit))?;
    let arguments = interpreter.arguments();
    let shown = core::iter::once(&program.path).chain(&arguments).chain([path]).map(ToOwned::to_owned).collect();
    Ok(Fit { way: Way::Interpreted(arguments), shown, person: None })
}
