//! `castellan schema`: the JSON Schema of a kind of document, for editors and CI.

use castellan_core::schema::Document;
use clap::{Args, ValueEnum};

use super::output::Globals;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan schema job > job.schema.json
  castellan schema settings > appsettings.schema.json

Visual Studio Code, in .vscode/settings.json:
  \"json.schemas\": [ { \"fileMatch\": [\"Jobs/*.json\"], \"url\": \"./job.schema.json\" } ]")]
pub(crate) struct Options {
    /// Which kind.
    #[arg(value_enum)]
    document: Kind,
}

/// The kinds of documents, as the command line names them.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Jobs/*.json.
    Job,
    /// Plugins/*.json.
    Plugin,
    /// appsettings.json.
    Settings,
    /// Policies/*.json.
    Policy,
    /// *.test.json, the cases of `castellan jobs test`.
    Test,
}

pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let document = match options.document {
        Kind::Job => Document::Job,
        Kind::Plugin => Document::Plugin,
        Kind::Settings => Document::Settings,
        Kind::Policy => Document::Policy,
        Kind::Test => Document::Test,
    };
    let schema = document.schema();
    let text = serde_json::to_string_pretty(&schema).map_err(Failure::failed)?;
    globals.show(&schema, &[], || Ok(vec![text]))
}
