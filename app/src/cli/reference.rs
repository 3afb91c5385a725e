//! `castellan completions` and the man pages: written from the same tables that read the command line.

use std::path::{Path, PathBuf};

use castellan_fs::replace_file;
use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};
use clap_mangen::Man;

use super::Cli;
use super::output::{self, Globals};
use crate::failure::Failure;

/// Everybody may read a manual.
const MODE: u32 = 0o644;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan completions bash > /usr/share/bash-completion/completions/castellan
  castellan completions zsh > /usr/share/zsh/site-functions/_castellan
  castellan completions fish > /usr/share/fish/vendor_completions.d/castellan.fish")]
pub(crate) struct Completions {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints a shell's completions.
pub(crate) fn completions(options: &Completions) -> Result<(), Failure> {
    let mut command = Cli::command();
    let mut script = Vec::new();
    match options.shell {
        Shell::Bash => generate(Bash, &mut command, "castellan", &mut script),
        Shell::Zsh => generate(Zsh, &mut command, "castellan", &mut script),
        Shell::Fish => generate(Fish, &mut command, "castellan", &mut script),
    }
    output::lines(&[String::from_utf8(script).map_err(Failure::failed)?.trim_end()])
}

#[derive(Debug, Args)]
pub(crate) struct Manual {
    /// The folder, made where it is missing, that gets castellan.1, castellan-status.1 and so on.
    folder: PathBuf,
}

/// Writes a page for each command.
pub(crate) fn manual(options: &Manual, globals: &Globals) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    std::fs::create_dir_all(&options.folder)
        .map_err(|error| Failure::failed(format!("{} cannot be made: {error}.", options.folder.display())))?;
    let count = pages(&command, "castellan", &options.folder)?;
    globals.done(&format!("{count} pages written to {}", options.folder.display()))
}

/// The page of a command and those of the commands below it; how many that are.
fn pages(command: &Command, name: &str, folder: &Path) -> Result<usize, Failure> {
    let title: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let mut page = Vec::new();
    let path = folder.join(format!("{name}.1"));
    let unwritten = |error: std::io::Error| Failure::failed(format!("{} cannot be written: {error}.", path.display()));
    Man::new(command.clone().name(title))
        .title(name)
        .section("1")
        .manual("Castellan")
        .render(&mut page)
        .map_err(unwritten)?;
    replace_file(&path, &page, MODE)
        .map_err(|error| Failure::failed(format!("{error} Name a folder that may be written.")))?;
    let mut count = 1_usize;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        count = count.saturating_add(pages(below, &format!("{name}-{}", below.get_name()), folder)?);
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
