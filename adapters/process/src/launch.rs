//! The launcher: a process that waits before it becomes the program, so that the agent knows it before its first instruction.
//! In this order: control socket kept aside, /dev/null as standard input, own session, death with the agent, umask 027, default signals,
//! ready byte, then nothing until the go byte is there, then, on a terminal, a second process ([`monitor`]), then the person ([`privileges`]), what a caller lends ([`caller`]) and the program,
//! which is the file that the agent opened and judged. End of file instead: exit code 125 and nothing was executed, so a killed agent leaves no program.

mod caller;
mod monitor;
mod privileges;

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::net::AddressFamily;
use rustix::process::Signal;

use crate::handover::Receiver;
use crate::sys;
use crate::wire::{self, ATTENDED, COMPLAINT_BYTES, NOT_EXECUTED, Order, Person, Program, READY};

/// Descriptors from here on are never the program's.
const FIRST_PRIVATE_DESCRIPTOR: i32 = 3;

/// What the agent's binary runs under the launcher's verb; returns only if nothing was executed (code 125).
///
/// Reads neither arguments nor environment. Started by hand it does nothing: its standard input is not the agent's socket.
pub fn launch_main() -> ExitCode {
    // Otherwise nobody listens: started by hand, or the agent is gone. The exit code says all there is to say.
    if let Ok(control) = prepare() {
        obey(control);
    }
    ExitCode::from(NOT_EXECUTED)
}

/// There is no agent at the other end of standard input.
struct NotOurs;

impl From<rustix::io::Errno> for NotOurs {
    fn from(_: rustix::io::Errno) -> Self {
        Self
    }
}

impl From<io::Error> for NotOurs {
    fn from(_: io::Error) -> Self {
        Self
    }
}

fn prepare() -> Result<UnixStream, NotOurs> {
    let parent = rustix::process::getppid();
    let stdin = io::stdin();
    if rustix::net::sockopt::socket_domain(&stdin)? != AddressFamily::UNIX {
        return Err(NotOurs);
    }
    // The pair's credentials are those of the process that made it: the agent, which must be our parent still.
    if Some(rustix::net::sockopt::socket_peercred(&stdin)?.pid) != parent {
        return Err(NotOurs);
    }
    let control = rustix::io::fcntl_dupfd_cloexec(&stdin, FIRST_PRIVATE_DESCRIPTOR)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::process::setsid()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != parent {
        return Err(NotOurs);
    }
    rustix::process::umask(Mode::from_raw_mode(0o027));
    // SIGPIPE, too, may end it from here on: with nobody left to read, nothing is lost by that.
    sys::reset_signal_actions();
    sys::unblock_signals()?;
    rehearse()?;
    let mut control = UnixStream::from(control);
    control.write_all(&[READY])?;
    Ok(control)
}

/// Reads an order like those to come, so that the pages with what reads them are there before the time is counted.
fn rehearse() -> io::Result<()> {
    let program = Program {
        path: String::from("/"),
        arguments: vec![String::from("an argument")],
        scripts: Vec::new(),
        environment: vec![(String::from("NAME"), String::from("value"))],
        working_directory: String::from("/"),
        person: None,
        for_caller: false,
    };
    let frame = wire::encode(&Order::Execute(program)).map_err(io::Error::other)?;
    wire::read_order(frame.as_slice()).map(drop)
}

fn obey(mut control: UnixStream) {
    let mut receiver = Receiver::new(&control);
    let order = wire::read_order(&mut receiver);
    let descriptors = receiver.descriptors;
    let complaint = match order {
        Ok(Order::Attend) => match monitor::split(descriptors) {
            Ok(Some(monitor)) => {
                drop(control);
                monitor.watch()
            }
            Ok(None) => return attended(control),
            Err(sentence) => sentence,
        },
        Ok(Order::Execute(program)) => execute(&program, descriptors),
        Ok(Order::Connect(address)) => match connect(&control, address) {
            Ok(()) => return,
            Err(error) => format!("The launcher cannot connect to {address}: {error}."),
        },
        Err(error) => format!("The launcher got no whole order: {error}."),
    };
    let length = complaint.floor_char_boundary(COMPLAINT_BYTES);
    let text = complaint.get(..length).unwrap_or_default();
    // The agent that would read this may be gone; then nobody is left to tell, and the exit code stands.
    if control.write_all(text.as_bytes()).is_err() {
        std::process::exit(NOT_EXECUTED.into());
    }
}

/// The process that becomes the program tells its number, and takes the further orders.
fn attended(mut control: UnixStream) {
    let [first, second, third, fourth] = std::process::id().to_le_bytes();
    if control.write_all(&[ATTENDED, first, second, third, fourth]).is_ok() {
        obey(control);
    }
    std::process::exit(NOT_EXECUTED.into());
}

/// Becomes the program; returns a sentence only if that failed.
fn execute(program: &Program, descriptors: Vec<OwnedFd>) -> String {
    match try_execute(program, descriptors) {
        Ok(never) => match never {},
        Err(sentence) => sentence,
    }
}

fn try_execute(program: &Program, descriptors: Vec<OwnedFd>) -> Result<std::convert::Infallible, String> {
    let mut descriptors = descriptors.into_iter();
    let opened = descriptors.next().ok_or("The order came without the file to execute.")?;
    let path = c_string("path", &program.path)?;
    let mut arguments = vec![path];
    for argument in &program.arguments {
        arguments.push(c_string("argument", argument)?);
    }
    let mut environment = Vec::with_capacity(program.environment.len());
    for (name, value) in &program.environment {
        if name.is_empty() || name.contains('=') {
            return Err(format!("'{name}' cannot be the name of an environment variable: it is empty or has a '='."));
        }
        environment.push(c_string("environment variable", &format!("{name}={value}"))?);
    }
    reset_nice()?;
    if let Some(person) = &program.person {
        privileges::take(person)?;
        environment.retain(|variable| privileges::is_of_use(variable));
    }
    if program.for_caller {
        caller::serve(descriptors)?;
    } else {
        enter(program)?;
    }
    sys::close_on_exec_from(FIRST_PRIVATE_DESCRIPTOR.unsigned_abs())
        .map_err(|error| format!("Cannot close the descriptors above standard error: {error} (needs Linux 5.11)."))?;
    let arguments: Vec<&CStr> = arguments.iter().map(CString::as_c_str).collect();
    let environment: Vec<&CStr> = environment.iter().map(CString::as_c_str).collect();
    for script in &program.scripts {
        script.verify().map_err(|error| cannot_execute(&script.path, &error, program))?;
    }
    monitor::hear_signals().map_err(|error| format!("Signals cannot be heard: {error}."))?;
    let error = sys::execute(opened.as_fd(), &arguments, &environment);
    Err(cannot_execute(&program.path, &error, program))
}

fn cannot_execute(path: &str, error: &io::Error, program: &Program) -> String {
    format!("Cannot execute {path}: {error}.{}", hint(error, program.person.as_ref()))
}

/// The agent's nice value is not its programs'. Without `CAP_SYS_NICE` it can only rise, so it stays.
fn reset_nice() -> Result<(), String> {
    match rustix::process::setpriority_process(None, 0) {
        Ok(()) | Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => Ok(()),
        Err(error) => Err(format!("Cannot reset the nice value: {error}.")),
    }
}

/// Changes to the working directory, after the change of user: root could enter what he cannot.
fn enter(program: &Program) -> Result<(), String> {
    let folder = &program.working_directory;
    let error = match std::env::set_current_dir(folder) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let instead = program.person.as_ref().filter(|person| person.anywhere).map(|_| std::env::set_current_dir("/"));
    match instead {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) | None => Err(format!("Cannot change to the working directory {folder}: {error}.")),
    }
}

/// What the bare error number does not tell.
fn hint(error: &io::Error, person: Option<&Person>) -> String {
    match (error.raw_os_error(), person) {
        (Some(libc::EACCES), Some(person)) => format!(
            " {} (user {}) may not execute it: let others read and execute the file and pass the folders above it (chmod 755).",
            person.name, person.uid
        ),
        (Some(libc::EAGAIN), Some(person)) => {
            format!(" {} (user {}) is at the limit of processes (RLIMIT_NPROC).", person.name, person.uid)
        }
        _ => String::from(reason(error)),
    }
}

fn reason(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            " The loader that it names does not exist, or it needs binfmt_misc: give it a script with '#!'."
        }
        Some(libc::ENOEXEC) => " It is neither a program of this machine nor a script that starts with '#!'.",
        Some(libc::EACCES) => " It lacks the x bit for this user, or a mount option forbids it.",
        Some(libc::ENOSYS) => " It needs execveat(2), which a sandbox may forbid.",
        Some(libc::E2BIG) => " Arguments and environment are too long: pass long texts in a file.",
        Some(_) | None => "",
    }
}

fn c_string(what: &str, text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|error| format!("The {what} {text:?} has a NUL byte at {}.", error.nul_position()))
}

/// Holds a connection open until the agent has looked at it.
fn connect(control: &UnixStream, address: SocketAddr) -> io::Result<()> {
    let connection = TcpStream::connect(address)?;
    let end = io::copy(&mut &*control, &mut io::sink())?;
    drop(connection);
    if end == 0 { Ok(()) } else { Err(io::Error::other("the agent sent more than one order")) }
}
