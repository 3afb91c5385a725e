//! try
#![allow(warnings)]
#[path = "service"]
mod service {
    mod elevate;
}
mod support {
    use std::process::*;
    pub(crate) fn binary() -> std::path::PathBuf {
        env!("CARGO_BIN_EXE_castellan").into()
    }
    pub(crate) fn spawn(c: &mut Command) -> Child {
        c.spawn().unwrap()
    }
    pub(crate) fn is_root() -> bool {
        true
    }
    pub(crate) fn skipped(w: &str) {
        eprintln!("SKIPPED {w}")
    }
    pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let start = std::time::Instant::now();
        loop {
            if let Some(f) = look() {
                return f;
            }
            if start.elapsed().as_secs() > 10 {
                panic!("waited in vain: {what}")
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
