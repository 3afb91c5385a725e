//! A writer for the tests to kill: `blessed_write ROOT VERB COUNT` blesses, as one write, so many jobs or their removal, takes a
//! new key, or removes the file of a job where no references are kept.
//! A program of its own with one thread, so that its system calls can be counted.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a writer that says what it did, or dies and says why")]

use std::path::Path;
use std::sync::Arc;

use castellan_core::event::DefinitionKind;
use castellan_core::lkg::{Cause, DefinitionChange, Item};
use castellan_core::time::WallTime;
use castellan_fs::Root;
use castellan_fs::lkg::{self, ReferenceStore};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, verb, count] = arguments.as_slice() else {
        return println!("usage: blessed_write ROOT create|update|delete|rekey|unlink COUNT");
    };
    let change = |number: usize| DefinitionChange {
        item: Item::new(DefinitionKind::Job, format!("j{number}")),
        document: (verb != "delete").then(|| Arc::from("new".repeat(number.saturating_add(1)).as_bytes())),
    };
    let changes: Vec<DefinitionChange> = (0..count.parse().unwrap()).map(change).collect();
    let root = Root::open(Path::new(path)).unwrap();
    let (mut store, _) = ReferenceStore::open_with(&root, None, None).unwrap();
    // In a trace this says where the write begins, and the answer where it ends.
    println!("begin");
    if verb == "unlink" {
        root.remove_definition(DefinitionKind::Job, "Plugins", "j0").unwrap();
        return println!("changed");
    }
    if verb == "rekey" {
        return println!("changed {}", store.rekey().unwrap());
    }
    match lkg::change(&root, Some(&mut store), None, "Plugins", &changes, "root", WallTime::from_millis(0)) {
        Ok(changed) => println!("changed {}", changed.unwritten.join(" ")),
        Err(failed) => println!("full={} {}", failed.cause == Cause::Full, failed.reason),
    }
}
