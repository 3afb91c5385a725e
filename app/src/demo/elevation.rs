//! `castellan demo elevation`: an ordinary user asks for root's rights on a temporary root, with real people's terminals and a real agent.

mod person;
mod steps;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use async_io::Timer;
use castellan_fs::log_file::LogOutput;
use castellan_process::account;
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use smol::channel::{Receiver, bounded};
use smol::future::or;

use super::{print, root::DemoRoot, stop};
use crate::failure::Failure;
use crate::service::Service;
use person::{Person, Terminal};

/// For the whole story, which takes a few seconds.
const STORY_TIME: Duration = Duration::from_secs(120);
/// Who is still denied; another account of every Linux system takes the place of the one that asks.
const OTHERS: [&str; 2] = ["daemon", "nobody"];

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo castellan demo elevation
  sudo castellan demo elevation --user alice")]
pub(crate) struct Options {
    /// The ordinary user who asks.
    #[arg(long, value_name = "NAME", default_value = "nobody")]
    user: String,
}

/// Who and what is in the story.
struct Cast {
    root: PathBuf,
    /// This binary, where everybody may execute it.
    program: PathBuf,
    user: Person,
    other: Person,
}

/// Tells the story; nothing is left of it.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        let why = "this demo starts programs as root and as another user, which only root can do";
        return Err(Failure::denied(format!("{why}. Run it as root: sudo castellan demo elevation")));
    }
    let user = person(&options.user)?;
    let interrupted = hear().map_err(|error| Failure::failed(format!("signals cannot be heard: {error}")))?;
    let other = person(OTHERS.into_iter().find(|name| *name != options.user).unwrap_or_default())?;
    let root = DemoRoot::bare().and_then(|root| {
        let program = deploy(&root)?;
        Ok((root, program))
    });
    let (root, program) = root.map_err(|error| Failure::failed(format!("no temporary agent root: {error}")))?;
    let cast = Cast { root: root.path().to_owned(), program, user, other };
    steps::opening(&cast)?;
    is_wanted(&interrupted)?;
    let service = Service::start(root.path(), LogOutput { readable: false, tap: None })?;
    let (sender, stopper) = (service.sender(), service.sender());
    let (running, ended) = bounded::<()>(1);
    let teller = thread::Builder::new().name(String::from("story")).spawn(move || {
        let outcome = smol::block_on(or(steps::tell(&cast), or(late(), gone(ended))));
        stop(Some(&sender));
        outcome
    });
    let teller = teller.map_err(|error| Failure::failed(format!("the story cannot begin: {error}")))?;
    // What came before the agent heard signals.
    if interrupted.load(Ordering::Acquire) {
        stop(Some(&stopper));
    }
    let ran = service.run();
    drop(running);
    let told = teller.join().map_err(|_| Failure::failed("the story broke off"))?;
    is_wanted(&interrupted)?;
    ran.and(told)?;
    print(
        "\nNothing is left behind. docs/elevation.md says how to go from here: from nothing to the first policy in five minutes.\n",
    )
}

/// From now on SIGINT and SIGTERM end nothing by themselves, so that nothing is left behind; whether one came.
fn hear() -> std::io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}

fn is_wanted(interrupted: &AtomicBool) -> Result<(), Failure> {
    if interrupted.load(Ordering::Acquire) {
        return Err(Failure::failed("the demo was interrupted; nothing is left behind."));
    }
    Ok(())
}

fn person(name: &str) -> Result<Person, Failure> {
    let (account, _) = account(name)
        .map_err(|why| Failure::not_found(format!("user '{name}': {why}. Name another one with --user.")))?;
    if account.uid == 0 {
        return Err(Failure::usage("root needs nobody's leave. Name an ordinary user with --user."));
    }
    Ok(Person { name: account.name, uid: account.uid, gid: account.gid })
}

/// Puts this binary where everybody may execute it.
fn deploy(root: &DemoRoot) -> std::io::Result<PathBuf> {
    let folder = root.path().join("bin");
    let program = folder.join("castellan");
    fs::create_dir(&folder)?;
    fs::copy(std::env::current_exe()?, &program)?;
    for (path, mode) in [(root.path(), 0o711), (&folder, 0o755), (&program, 0o755)] {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(program)
}

async fn late() -> Result<(), Failure> {
    Timer::after(STORY_TIME).await;
    Err(Failure::failed(format!("the story did not end within {} seconds", STORY_TIME.as_secs())))
}

/// The agent stopped.
async fn gone(ended: Receiver<()>) -> Result<(), Failure> {
    match ended.recv().await {
        Ok(()) | Err(_) => Err(Failure::failed("the agent stopped before the story had ended")),
    }
}

impl Cast {
    /// A command of the administrator, shown without what it prints; that, where it ends well.
    fn administrator(&self, words: &[&str]) -> Result<String, Failure> {
        print(&format!("   root# castellan {}", words.join(" ")))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the demo plays the administrator, who types this; the agent launches none of it"
        )]
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root).args(words).stdin(Stdio::null());
        let output =
            command.output().map_err(|error| Failure::failed(format!("castellan cannot be started: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::failed(format!("castellan {} failed: {}", words.join(" "), complaint.trim_end())));
        }
        Ok(text)
    }

    /// The same, with what it prints.
    fn shown(&self, words: &[&str]) -> Result<String, Failure> {
        let text = self.administrator(words)?;
        text.lines().try_for_each(|line| print(&format!("   {line}")))?;
        Ok(text)
    }

    /// `castellan elevate` in the terminal of somebody.
    fn terminal(&self, person: &Person, words: &[&str]) -> Result<Terminal, Failure> {
        print(&format!("   {}$ castellan elevate -- {}", person.name, words.join(" ")))?;
        let opened = Terminal::open(person, &self.program, &self.root, words);
        opened.map_err(|error| {
            Failure::failed(format!("{} gets no terminal (setsid of util-linux is needed): {error}", person.name))
        })
    }
}
