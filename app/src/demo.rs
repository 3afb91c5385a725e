//! `castellan demo`: the agent's main job on a temporary root, told as it happens.

mod elevation;
mod root;
mod story;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use castellan_core::event::Event;
use castellan_core::log_message::LogRecord;
use castellan_fs::log_file::LogOutput;
use clap::{Args, Subcommand};
use smol::channel::Sender;

use crate::failure::Failure;
use crate::service::Service;
use root::DemoRoot;
use story::{Scene, Story};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples: castellan demo ~/src
          sudo castellan demo elevation"
)]
pub(crate) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// The folder to scan.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Keep the agent root and go on running until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Show an ordinary user who runs a program as root, as far as policies allow it; as root, on a temporary agent root.
    Elevation(elevation::Options),
}

/// Carries it out.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    match &options.other {
        Some(Other::Elevation(options)) => elevation::run(options),
        None => scan(&options.folder, options.keep),
    }
}

/// Runs the demo on `folder`; with `keep` the agent goes on until it is told to stop, and its root stays.
fn scan(folder: &Path, keep: bool) -> Result<(), Failure> {
    let folder = folder
        .canonicalize()
        .map_err(|error| Failure::failed(format!("the folder '{}' cannot be scanned: {error}", folder.display())))?;
    let root =
        DemoRoot::create(&folder).map_err(|error| Failure::failed(format!("no temporary agent root: {error}")))?;
    let story = Arc::new(Story::new(root.path().to_owned(), keep));
    story.opening(&folder)?;

    let sender: Arc<OnceLock<Sender<Event>>> = Arc::new(OnceLock::new());
    let tap = {
        let (story, sender) = (Arc::clone(&story), Arc::clone(&sender));
        Box::new(move |record: &LogRecord| {
            if story.tell(record) == Scene::Last && !keep {
                stop(sender.get());
            }
        })
    };
    let service = Service::start(root.path(), LogOutput { readable: false, tap: Some(tap) })?;
    if sender.set(service.sender()).is_err() {
        return Err(Failure::failed("the demo was started twice"));
    }
    story.opened(service.endpoints());
    service.run()?;
    let outcome = story.closing();
    if keep {
        root.keep();
    }
    outcome
}

/// Asks the agent to stop. A full queue means that it is stopping or stuck; then Ctrl-C is the way out.
fn stop(sender: Option<&Sender<Event>>) {
    let Some(sender) = sender else { return };
    if let Err(error) = sender.try_send(Event::StopRequested(String::from("the demo is over"))) {
        log::warn!("the demo could not ask the agent to stop: {error}");
    }
}

/// Tells a line.
fn print(line: &str) -> Result<(), Failure> {
    write_line(line).map_err(|error| Failure::failed(format!("nothing can be printed: {error}")))
}

fn write_line(line: &str) -> io::Result<()> {
    write(&format!("{line}\n"))
}

/// Tells what need not be a whole line.
fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
