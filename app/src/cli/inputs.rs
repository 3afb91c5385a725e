//! What commands for job authors read: job files, folders, agent roots, contexts, instants; and the machine they imagine.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use castellan_core::event::{DefinitionFile, DefinitionKind};
use castellan_core::job::finding::Finding;
use castellan_core::job::{JobDefinition, OperatingSystem};
use castellan_core::json::Json;
use castellan_core::limits::DOCUMENT_BYTES;
use castellan_core::log_message::escape;
use castellan_core::resources::KeptLimits;
use castellan_core::surroundings::Surroundings;
use castellan_core::time::{Now, WallTime};
use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat};
use rustix::io::Errno;
use serde_json::{Map, Value};

use super::position::{self, Mark};
use crate::clock::Clock;
use crate::failure::Failure;

/// How long a pipe may have no writer: its writer is started by the same line of a shell.
const WRITER_TIME: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The system that a job is imagined on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    Linux,
    Windows,
    Macos,
}

impl From<System> for OperatingSystem {
    fn from(system: System) -> Self {
        match system {
            System::Linux => Self::Linux,
            System::Windows => Self::Windows,
            System::Macos => Self::MacOs,
        }
    }
}

/// Definition files, and the one job that was meant, where one was.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) files: Vec<DefinitionFile>,
    pub(crate) job: Option<String>,
    /// Where the one job stands; `None` in a folder.
    path: Option<PathBuf>,
}

impl Found {
    /// What a file is called in messages: its path where that is known.
    pub(crate) fn shown(&self, file: &DefinitionFile) -> String {
        let known = self.path.as_ref().filter(|_| self.job.as_ref() == Some(&file.stem));
        known.map_or_else(|| file.stem.clone(), |path| path.display().to_string())
    }
}

/// The definitions that a command line names: a file, a folder of files, an agent root, or a job's id in the root.
pub(crate) fn find(name: &str, root: &Path) -> Result<Found, Failure> {
    let path = Path::new(name);
    if path.is_dir() {
        let files = if path.join("Jobs").is_dir() { of_root(path)? } else { of_folder(path)? };
        let mut jobs = files.iter().filter(|file| file.kind == DefinitionKind::Job);
        let job = jobs.next().filter(|_| jobs.next().is_none()).map(|file| file.stem.clone());
        return Ok(Found { files, job, path: None });
    }
    if path.is_file() {
        let file = definition(path)?;
        let job = Some(file.stem.clone());
        return Ok(Found { files: vec![file], job, path: Some(path.to_owned()) });
    }
    let path = root.join("Jobs").join(format!("{name}.json"));
    if !name.contains('/') && path.is_file() {
        return Ok(Found { files: of_root(root)?, job: Some(name.to_owned()), path: Some(path) });
    }
    let shown = root.display();
    Err(Failure::not_found(format!("'{name}' is no file and no folder, and {shown}/Jobs/{name}.json does not exist.")))
}

/// The definitions of a root, of which this job is in service as this document, whatever its file says.
pub(crate) fn in_service(job: &str, root: &Path, document: Vec<u8>) -> Result<Found, Failure> {
    let is_it = |file: &DefinitionFile| file.kind == DefinitionKind::Job && file.stem == job;
    let mut files = of_root(root)?;
    files.retain(|file| !is_it(file));
    files.push(DefinitionFile { kind: DefinitionKind::Job, stem: job.to_owned(), content: Ok(document.into()) });
    Ok(Found { files, job: Some(job.to_owned()), path: None })
}

/// The job that was meant, valid.
pub(crate) fn job(found: &Found) -> Result<JobDefinition, Failure> {
    let named = |file: &&DefinitionFile| file.kind == DefinitionKind::Job && Some(&file.stem) == found.job.as_ref();
    let Some(file) = found.files.iter().find(named) else {
        return Err(Failure::usage("There are several jobs; name one file or one job."));
    };
    match &file.content {
        Ok(bytes) => JobDefinition::parse(bytes, None)
            .map(|(job, _)| job)
            .map_err(|errors| invalid(&found.shown(file), bytes, &errors)),
        Err(why) => Err(Failure::not_found(format!("{}: {why}", file.stem))),
    }
}

/// The failure that lists what is wrong in a file, each with its line.
pub(crate) fn invalid(file: &str, bytes: &[u8], findings: &[Finding]) -> Failure {
    let marks: Vec<Mark> = findings.iter().map(Mark::from).collect();
    let lines = position::shown(file, bytes, &marks).join("\n");
    Failure::invalid_file(format!("{} is not a valid definition.\n{lines}", escape(file)))
}

fn of_root(root: &Path) -> Result<Vec<DefinitionFile>, Failure> {
    let mut files = Vec::new();
    for kind in [DefinitionKind::Job, DefinitionKind::Plugin] {
        let folder = root.join(kind.folder());
        for path in if folder.is_dir() { json_files(&folder)? } else { Vec::new() } {
            files.push(DefinitionFile { kind, stem: stem(&path), content: Ok(read(&path)?.into()) });
        }
    }
    Ok(files)
}

fn of_folder(folder: &Path) -> Result<Vec<DefinitionFile>, Failure> {
    json_files(folder)?.iter().map(|path| definition(path)).collect()
}

/// A file outside an agent root: what it is called does not matter there, so it goes by the id inside it.
pub(crate) fn definition(path: &Path) -> Result<DefinitionFile, Failure> {
    let bytes = read(path)?;
    let json = Json::parse(&bytes).ok();
    let inner = |name: &str| json.as_ref().and_then(|json| json.lookup(&[name]));
    let kind = if inner("pluginType").is_some() { DefinitionKind::Plugin } else { DefinitionKind::Job };
    let stem = inner("id").and_then(Json::as_str).map_or_else(|| stem(path), str::to_owned);
    Ok(DefinitionFile { kind, stem, content: Ok(bytes.into()) })
}

/// The `*.json` files of a folder by name, without test cases.
pub(crate) fn json_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    files(folder, |name| name.ends_with(".json") && !name.ends_with(".test.json"))
}

/// The test cases of a folder by name.
pub(crate) fn test_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    files(folder, |name| name.ends_with(".test.json"))
}

fn files(folder: &Path, wanted: fn(&str) -> bool) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if wanted(&name) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The bytes of a root's `appsettings.json`; `None` where there is none.
pub(crate) fn settings(root: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let path = root.join("appsettings.json");
    match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Ok(_) | Err(_) => read(&path).map(Some),
    }
}

/// Opens what the command line names: a plain file, or a pipe (`<(COMMAND)` of a shell); and whether it is a pipe. One without a writer
/// is not waited for, and ends at once ([`nobody_wrote`]).
pub(crate) fn open(path: &Path) -> Result<(File, bool), Failure> {
    let failed = |error: Errno| unreadable(path, &error.into());
    let shown = escape(&path.display().to_string());
    let no_file = |what| Failure::not_found(format!("{shown} cannot be read: it is {what}, not a file. Name a file."));
    // Opening a pipe that nobody writes to would else wait without end, and a terminal would become the command's own.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    let kind = FileType::from_raw_mode(fstat(&file).map_err(failed)?.st_mode);
    match kind {
        FileType::RegularFile => {}
        FileType::Fifo => {
            // Its writer may be about to open it. One that has done so is waited for as at standard input.
            poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&WRITER_TIME)).map_err(failed)?;
            fcntl_setfl(&file, OFlags::empty()).map_err(failed)?;
        }
        FileType::Directory => return Err(no_file("a folder")),
        FileType::Symlink
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => return Err(no_file("a device")),
    }
    Ok((File::from(file), kind == FileType::Fifo))
}

/// What is said of a pipe that had nothing in it, where a file may be empty.
pub(crate) fn nobody_wrote(path: &Path) -> Failure {
    let shown = escape(&path.display().to_string());
    Failure::invalid_file(format!("{shown} is a pipe that nobody wrote to. Start its writer first."))
}

/// The content of what the command line names, of a bounded length.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let (file, is_pipe) = open(path)?;
    let bytes = bounded(file, &escape(&path.display().to_string()))?;
    if is_pipe && bytes.is_empty() {
        return Err(nobody_wrote(path));
    }
    Ok(bytes)
}

/// All that comes from there, unless that is more than any document may have.
pub(crate) fn bounded(from: impl Read, shown: &str) -> Result<Vec<u8>, Failure> {
    let most = u64::try_from(DOCUMENT_BYTES).map_err(Failure::failed)?;
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::failed(format!("{shown} cannot be read: {error}.")))?;
    if bytes.len() > DOCUMENT_BYTES {
        return Err(Failure::invalid_file(format!(
            "{shown} has more than {DOCUMENT_BYTES} bytes (1 MiB), which is the most that a document may have. See that it is the file you mean."
        )));
    }
    Ok(bytes)
}

pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    if error.kind() == ErrorKind::PermissionDenied {
        return Failure::denied(format!(
            "{path} may not be read by this user. Say it again as one who may, for example with sudo."
        ));
    }
    let fix = if error.kind() == ErrorKind::NotFound { " Name one that is there." } else { "" };
    Failure::not_found(format!("{path} cannot be read: {error}.{fix}"))
}

/// The file name without `.json`.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A context: a JSON object in a file, or as it stands on the command line.
pub(crate) fn context(given: Option<&str>) -> Result<Map<String, Value>, Failure> {
    let Some(given) = given else { return Ok(Map::new()) };
    let bytes = if given.trim_start().starts_with('{') { given.as_bytes().to_vec() } else { read(Path::new(given))? };
    match Json::parse(&bytes).map(|json| json.to_value()) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(_) => Err(Failure::invalid_file(format!("the context {given} is not a JSON object."))),
        Err(error) => Err(Failure::invalid_file(format!("the context {given} is not JSON: {error}"))),
    }
}

/// An RFC 3339 instant; now where none is given.
pub(crate) fn instant(given: Option<&str>) -> Result<WallTime, Failure> {
    let Some(given) = given else { return Ok(Clock::start().now().wall) };
    WallTime::parse_rfc3339(given).ok_or_else(|| {
        Failure::usage(format!("'{given}' is not an instant in RFC 3339, such as 2026-06-01T02:00:00Z."))
    })
}

/// A machine that is the same everywhere, so that an answer does not depend on where it was asked.
pub(crate) fn surroundings(root: &Path, system: System, time_zone: Option<&str>) -> Surroundings {
    let root = root.display().to_string();
    Surroundings {
        plugin_root: format!("{root}/Plugins"),
        path_variables: crate::surroundings::path_variables(&root, "/root"),
        agent_root: root,
        here: system.into(),
        boot: 1,
        started: Now::default(),
        host_name: String::from("machine"),
        version: String::from(env!("CARGO_PKG_VERSION")),
        environment: Vec::new(),
        time_zone: time_zone.unwrap_or("UTC").to_owned(),
        user_name: String::from("root"),
        uid: 0,
        has_desktop: false,
        admin_certificates: Vec::new(),
        kept_limits: KeptLimits::ALL,
        endpoints: None,
    }
}
