//! Standing where the caller stands: in his folder, with his standard streams.
//!
//! The folder is entered with the agent's privileges. It comes from a descriptor that the caller opened himself, so no name is looked up
//! for him; that it is told and judged before a start is the core's part.

use std::os::fd::OwnedFd;

/// Takes what the caller lends: 0, 1, 2 and the working folder, in this order.
///
/// # Errors
/// A sentence: descriptors are missing, or one of them is not what it has to be.
pub(super) fn serve(lent: impl Iterator<Item = OwnedFd>) -> Result<(), String> {
    let lent: [OwnedFd; 4] = lent
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|found: Vec<_>| format!("The order came with {} of the caller's 4 descriptors.", found.len()))?;
    let [stdin, stdout, stderr, folder] = &lent;
    rustix::process::fchdir(folder).map_err(|error| format!("Cannot change to the caller's folder: {error}."))?;
    rustix::stdio::dup2_stdin(stdin)
        .and_then(|()| rustix::stdio::dup2_stdout(stdout))
        .and_then(|()| rustix::stdio::dup2_stderr(stderr))
        .map_err(|error| format!("Cannot take the caller's standard streams: {error}."))?;
    Ok(())
}
