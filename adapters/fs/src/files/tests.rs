//! Owners and modes.
use super::*;

/// What is said about a file of this owner and mode; `None` where it is safe.
fn check(uid: u32, mode: u32, privacy: Privacy, expect: Option<&str>) {
    let mut stat = statat(rustix::fs::CWD, ".", AtFlags::empty()).unwrap();
    (stat.st_uid, stat.st_mode) = (uid, mode);
    let found = unsafe_because(&stat, privacy);
    assert_eq!(found.is_some(), expect.is_some(), "{uid} {mode:o}: {found:?}");
    assert!(found.unwrap_or_default().contains(expect.unwrap_or_default()), "{uid} {mode:o}");
}

#[test]
fn root_and_the_agents_own_user_may_own_and_nobody_else_may_change() {
    let own = rustix::process::geteuid().as_raw();
    let stranger = own.wrapping_add(4711);
    for owner in [0, own] {
        check(owner, 0o100_644, Privacy::Guarded, None);
        check(owner, 0o040_755, Privacy::Guarded, None);
        check(owner, 0o100_664, Privacy::Guarded, Some("mode 0664"));
        check(owner, 0o041_777, Privacy::Guarded, Some("mode 1777"));
        check(owner, 0o100_600, Privacy::Secret, None);
        check(owner, 0o100_640, Privacy::Secret, Some("chmod 600"));
        check(owner, 0o100_604, Privacy::Secret, Some("chmod 600"));
    }
    check(stranger, 0o100_600, Privacy::Guarded, Some("chown"));
    check(stranger, 0o100_600, Privacy::Secret, Some("chown"));
}
