//! `castellan jobs test`: the test cases of job authors, each played by the agent's own machine.

use std::path::{Path, PathBuf};

use castellan_core::config::Settings;
use castellan_core::job::JobDefinition;
use castellan_core::simulation::{CASE_BEGIN, Difference, Scenario, TestCase, simulate};
use clap::Args;
use serde_json::json;

use super::inputs::{self, System};
use super::output::Globals;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: castellan jobs test tests/jobs\n\nWith -o json: {\"cases\":[{\"case\",\"passed\",\"differences\":[{\"what\",\"expected\",\"found\"}]}]}"
)]
pub(crate) struct Options {
    /// The folder with `*.test.json` files.
    folder: PathBuf,
}

pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let paths = inputs::test_files(&options.folder)?;
    if paths.is_empty() {
        return Err(Failure::not_found(format!("{} has no *.test.json file.", options.folder.display())));
    }
    let mut lines = Vec::new();
    let mut cases = Vec::new();
    let mut failed = 0_usize;
    for path in &paths {
        let differences = play(path)?;
        let name = path.display().to_string();
        lines.push(format!("{} {name}", if differences.is_empty() { "passed" } else { "FAILED" }));
        for difference in &differences {
            lines.push(format!("    {}", difference.what));
            lines.push(format!("      expected {}", difference.expected));
            lines.push(format!("      found    {}", difference.found));
        }
        failed = failed.saturating_add(usize::from(!differences.is_empty()));
        cases.push(json!({ "case": name, "passed": differences.is_empty(), "differences": differences }));
    }
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    globals.show(&json!({ "cases": cases }), &names, || Ok(lines))?;
    if failed == 0 { Ok(()) } else { Err(Failure::failed(format!("{failed} of {} cases failed.", paths.len()))) }
}

/// Where a case is not as expected.
fn play(path: &Path) -> Result<Vec<Difference>, Failure> {
    let wrong = |why: String| Failure::invalid_file(format!("{}: {why}", path.display()));
    let case = TestCase::parse(&inputs::read(path)?).map_err(wrong)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut definitions = Vec::new();
    for job in &case.jobs {
        let file = inputs::definition(&folder.join(job))?;
        if let Ok(bytes) = &file.content
            && let Err(findings) = JobDefinition::parse(bytes, None)
        {
            return Err(inputs::invalid(job, bytes, &findings));
        }
        definitions.push(file);
    }
    let id = definitions.first().map(|file| file.stem.clone());
    let id = id.ok_or_else(|| wrong(String::from("'jobs' names no job file.")))?;
    let story = simulate(Scenario {
        surroundings: inputs::surroundings(Path::new(super::DEFAULT_ROOT), System::Linux, None),
        settings: Settings::default(),
        definitions,
        trigger: case.trigger(&id),
        assumptions: case.assumptions().map_err(wrong)?,
        at: inputs::instant(Some(case.at.as_deref().unwrap_or(CASE_BEGIN)))?,
    });
    Ok(case.differences(&story))
}
