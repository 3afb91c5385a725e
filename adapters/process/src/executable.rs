//! The file that a command resolves to: opened once, facts about it and about who may change it, and what is executed from it.
//!
//! | the file | executed |
//! | --- | --- |
//! | a program | from the handle that the facts are about, whatever its name leads to by then |
//! | a script | its interpreter from such a handle; that opens the script by its name, which must still lead to the handle's file |

mod hash_bang;
mod walk;

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use castellan_core::effect::{ProgramQuery, Way};
use castellan_core::event::{ExecutableFacts, FileIdentity, Opening};
use castellan_core::trust::signature::{SignatureFacts, SignaturePolicy};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use self::hash_bang::LOOKED_AT;
use self::walk::{Reached, own_name, reach};
use crate::signature::Program;

/// How a program of Linux begins (ELF).
const BINARY: &[u8] = b"\x7fELF";
/// Scripts that interpret scripts, one in the other; as many as the kernel allows.
const NESTING: usize = 4;

/// What was opened for one order, and the facts about it.
#[derive(Debug)]
pub(crate) struct Inspection {
    program: Looked,
    interpreter: Option<Looked>,
}

/// What a path leads to.
#[derive(Debug, Default)]
struct Looked {
    facts: ExecutableFacts,
    opened: Option<Opened>,
}

/// A regular file that was opened.
#[derive(Debug)]
struct Opened {
    handle: File,
    identity: FileIdentity,
    /// What its `#!` line asks for: a program and an argument.
    line: Option<(Box<Looked>, Option<String>)>,
}

/// What to execute.
#[derive(Debug)]
pub(crate) struct Command {
    /// The program, as it was opened.
    pub(crate) handle: File,
    /// Its path as it was asked for; also its `argv[0]`.
    pub(crate) path: String,
    /// What precedes the arguments of the order: an interpreter's own, and the script.
    pub(crate) arguments: Vec<String>,
    /// What interpreters open by name.
    pub(crate) scripts: Vec<Script>,
}

/// A file that is opened by its name, and what was judged under that name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Script {
    /// Its name.
    pub(crate) path: String,
    identity: FileIdentity,
}

fn identity(metadata: &Metadata) -> FileIdentity {
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    FileIdentity { device: metadata.dev(), inode: metadata.ino(), changed }
}

impl Script {
    /// That its name still leads to the file that was judged, unchanged, and that we may read it.
    ///
    /// # Errors
    /// As faccessat(2), or a clause that says it changed.
    pub(crate) fn verify(&self) -> io::Result<()> {
        rustix::fs::accessat(CWD, &self.path, Access::READ_OK, AtFlags::EACCESS)?;
        if identity(&fs::metadata(&self.path)?) == self.identity {
            return Ok(());
        }
        Err(io::Error::other("it was replaced or changed after it was judged, so start it again"))
    }
}

impl Inspection {
    /// The facts alone.
    pub(crate) fn facts(&self) -> ExecutableFacts {
        let interpreter = self.interpreter.as_ref().map(|interpreter| Box::new(interpreter.facts.clone()));
        ExecutableFacts { interpreter, ..self.program.facts.clone() }
    }

    /// What is executed this way.
    ///
    /// # Errors
    /// A sentence: it, or what interprets it, is not there or cannot be executed.
    pub(crate) fn command(self, way: Way) -> Result<Command, String> {
        match way {
            Way::Directly => self.program.command(),
            Way::Interpreted(own) => {
                let path = self.program.facts.path;
                let missing = || format!("No interpreter was found for {path}.");
                let interpreter = self.interpreter.filter(|found| found.facts.exists).ok_or_else(missing)?;
                let script = self.program.opened.ok_or_else(|| format!("{path} is no regular file."))?;
                Ok(interpreter.command()?.with(own, path, script.identity))
            }
        }
    }
}

impl Looked {
    /// The file by itself.
    fn command(self) -> Result<Command, String> {
        let Self { facts, opened } = self;
        let path = facts.path;
        if !facts.exists {
            return Err(format!("There is no program at {path:?}."));
        }
        let Some(Opened { handle, identity, line }) = opened.filter(|_| facts.executable) else {
            return Err(format!("{path} is no regular file with the x bit."));
        };
        if facts.opening != Opening::HashBang {
            return Ok(Command { handle, path, arguments: Vec::new(), scripts: Vec::new() });
        }
        let (by, argument) = line.ok_or_else(|| format!("The first line of {path} names no program."))?;
        let interpreter = by.command().map_err(|why| format!("The first line of {path} cannot be followed: {why}"))?;
        Ok(interpreter.with(argument, path, identity))
    }
}

impl Command {
    /// Given a script, after these arguments of its own.
    fn with(mut self, own: impl IntoIterator<Item = String>, script: String, identity: FileIdentity) -> Self {
        self.arguments.extend(own);
        self.arguments.push(script.clone());
        self.scripts.push(Script { path: script, identity });
        self
    }
}

/// The program that is asked for, and its interpreter where one is; opens both.
pub(crate) fn inspect(query: &ProgramQuery) -> Inspection {
    let interpreter = (!query.interpreters.is_empty()).then(|| first_of(&query.interpreters, &[]));
    let mut program = first_of(&query.candidates, &query.roots);
    // What others may change is executed for nobody: they could have large files gone through again and again.
    let is_fit = program.facts.writable_by_others.is_none();
    if let Some(opened) = program.opened.as_ref().filter(|_| is_fit && !query.signers.is_empty()) {
        let facts = signature(&opened.handle, &query.signers);
        program.facts.signature = Some(facts.map(Box::new).map_err(|error| error.to_string()));
    }
    Inspection { program, interpreter }
}

/// Facts about the signature of what was opened, beside the name that it has now.
fn signature(handle: &File, signers: &[String]) -> io::Result<SignatureFacts> {
    let path = fs::read_link(own_name(handle))?;
    Program::of_file(readable(handle)?, path).facts(SignaturePolicy { pins: signers, non_admin: &[] })
}

/// The first candidate that exists, looked at; the first of all where none does.
fn first_of(candidates: &[String], roots: &[String]) -> Looked {
    let reached = candidates.iter().find_map(|path| reach(Path::new(path)).ok().map(|reached| (path, reached)));
    let Some((path, reached)) = reached else {
        return missing(candidates.first().cloned().unwrap_or_default());
    };
    let leads_out = leads_out(path, &reached.resolved, roots);
    let mut looked = look(path, reached, NESTING);
    looked.facts.leads_out = leads_out;
    looked
}

fn missing(path: String) -> Looked {
    Looked { facts: ExecutableFacts { path, ..ExecutableFacts::default() }, opened: None }
}

/// Where a path leads to, if its name is below one of the roots and what it leads to is not.
fn leads_out(path: &str, resolved: &Path, roots: &[String]) -> Option<String> {
    let innermost = roots.iter().filter(|root| Path::new(path).starts_with(root)).max_by_key(|root| root.len())?;
    let inside = reach(Path::new(innermost)).is_ok_and(|root| resolved.starts_with(root.resolved));
    (!inside).then(|| resolved.display().to_string())
}

/// Facts about what was reached; `nesting` more scripts may stand between it and a program.
fn look(path: &str, reached: Reached, nesting: usize) -> Looked {
    let Reached { handle, metadata, resolved, writable_by_others } = reached;
    let resolved = resolved.display().to_string();
    let facts = ExecutableFacts {
        path: path.to_owned(),
        resolved,
        exists: true,
        writable_by_others,
        ..ExecutableFacts::default()
    };
    if !metadata.is_file() {
        return Looked { facts, opened: None };
    }
    let executable = rustix::fs::accessat(CWD, own_name(&handle), Access::EXEC_OK, AtFlags::EACCESS).is_ok();
    let beginning = beginning(&handle);
    let opening = match &beginning {
        Err(_) => Opening::Unreadable,
        Ok(bytes) if bytes.starts_with(BINARY) => Opening::Binary,
        Ok(bytes) if bytes.starts_with(b"#!") => Opening::HashBang,
        Ok(_) => Opening::Other,
    };
    let line = beginning.ok().filter(|_| nesting > 0).and_then(|bytes| hash_bang::parse(&bytes));
    let line = line.map(|line| {
        let by = match reach(Path::new(&line.interpreter)) {
            Ok(reached) => look(&line.interpreter, reached, nesting.saturating_sub(1)),
            Err(_) => missing(line.interpreter),
        };
        (Box::new(by), line.argument)
    });
    let hash_bang = line.as_ref().map(|(by, _)| Box::new(by.facts.clone()));
    let identity = identity(&metadata);
    let facts = ExecutableFacts { executable, identity: Some(identity), opening, hash_bang, ..facts };
    Looked { facts, opened: Some(Opened { handle, identity, line }) }
}

/// The very file that was opened, for reading.
fn readable(handle: &File) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(own_name(handle), flags, Mode::empty())?))
}

/// The first bytes of a regular file, read from what was opened.
fn beginning(handle: &File) -> io::Result<Vec<u8>> {
    let file = readable(handle)?;
    let mut bytes = Vec::with_capacity(LOOKED_AT);
    file.take(LOOKED_AT as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
