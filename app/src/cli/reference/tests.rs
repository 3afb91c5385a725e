//! What people read of the command line is complete.

use clap::{Command, CommandFactory};

use crate::cli::Cli;

/// Every command without commands below it, by its whole name.
fn leaves(command: &Command, name: &str) -> Vec<(String, Command)> {
    let below: Vec<&Command> = command.get_subcommands().filter(|below| !below.is_hide_set()).collect();
    if below.is_empty() {
        return vec![(name.to_owned(), command.clone())];
    }
    below.into_iter().flat_map(|below| leaves(below, &format!("{name} {}", below.get_name()))).collect()
}

#[test]
fn every_command_has_its_line_and_its_example() {
    let page = include_str!("../../../../docs/cli.md");
    let commands = leaves(&Cli::command(), "castellan");
    assert!(commands.len() > 30, "{}", commands.len());
    for (name, command) in commands {
        assert!(page.contains(&format!("`{name}")), "docs/cli.md does not name `{name}`");
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&name), "{name} --help has no example: {help}");
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}
