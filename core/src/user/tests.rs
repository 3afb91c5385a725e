//! Whose session, whose ids, which variables: facts in, a person or a refusal out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

use alloc::vec;

use super::desktop::RuntimeFolder;
use super::*;
use crate::turn::fixtures::surroundings;

const ALICE: u32 = 1000;

/// A session in a few words: name, user, what it differs in from an active one at the screen.
fn session(id: &str, uid: u32, words: &str) -> Session {
    let mut session = Session {
        id: id.to_string(),
        uid,
        user: String::from("somebody"),
        class: "user".to_string(),
        kind: "wayland".to_string(),
        state: "active".to_string(),
        active: true,
        remote: false,
        seat: "seat0".to_string(),
        display: ":1".to_string(),
    };
    for word in words.split_whitespace() {
        match word {
            "greeter" | "lock-screen" | "manager" => session.class = word.to_string(),
            "x11" | "tty" => session.kind = word.to_string(),
            "online" | "closing" => (session.state, session.active) = (word.to_string(), false),
            "behind" => session.active = false,
            "remote" => (session.remote, session.seat) = (true, String::new()),
            "seat1" => session.seat = word.to_string(),
            other => panic!("{other}"),
        }
    }
    session
}

fn query(run_as: RunAs) -> UserQuery {
    UserQuery { run_as, session_user: None, session: None, account: None }
}

fn account(name: &str, uid: u32, gid: u32) -> Account {
    Account {
        name: name.to_string(),
        uid,
        gid,
        groups: vec![gid, 44],
        home: format!("/srv/home/{name}"),
        shell: "/bin/zsh".to_string(),
    }
}

fn facts(sessions: Sessions, account: Account) -> UserFacts {
    let runtime = Some(RuntimeFolder { is_folder: true, uid: account.uid, mode: 0o700 });
    UserFacts { sessions, account: Some(Ok(account)), desktop: Desktop { runtime, claims: Vec::new() } }
}

/// Alice sits at the screen, and the agent is root.
fn decided(run_as: RunAs, change: impl FnOnce(&mut UserFacts)) -> Result<Person, String> {
    let mut facts = facts(Sessions::Listed(vec![session("2", ALICE, "")]), account("alice", ALICE, ALICE));
    change(&mut facts);
    decide(&query(run_as), &facts, None, &surroundings())
}

fn value<'p>(person: &'p Person, wanted: &str) -> Option<&'p str> {
    person.environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

#[test]
fn of_several_sessions_the_one_at_the_screen_is_chosen() {
    for (listed, user, desktop) in [
        (vec![session("1", 1, "tty"), session("2", 2, "x11"), session("3", 3, "remote")], "2", "2"),
        (vec![session("1", 1, "seat1"), session("2", 2, "tty")], "2", "1"),
        (vec![session("1", 1, "behind"), session("2", 2, "online"), session("3", 3, "closing")], "", ""),
        (vec![session("1", 1, "greeter"), session("2", 2, "lock-screen"), session("3", 3, "manager")], "", ""),
        (vec![session("9", 1, ""), session("10", 2, "")], "10", "10"),
        (vec![session("1", 1, "remote")], "", ""),
        (vec![session("1", 1, "tty")], "1", ""),
        (vec![], "", ""),
    ] {
        let sessions = Sessions::Listed(listed);
        for (run_as, expected) in [(RunAs::User, user), (RunAs::UserElevated, user), (RunAs::UserDesktop, desktop)] {
            match choose(&query(run_as), &sessions) {
                Ok(Choice::Session(session)) => assert_eq!(session.id, expected, "{run_as:?}: {sessions:?}"),
                Err(why) => {
                    assert!(expected.is_empty() && why.starts_with("NoActiveSession: "), "{run_as:?}: {why}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_refusal_says_what_is_wrong_with_each_session() {
    let listed = vec![session("c1", 120, "greeter"), session("7", ALICE, "remote"), session("8", 5, "behind")];
    let why = choose(&query(RunAs::User), &Sessions::Listed(listed)).unwrap_err();
    for part in ["user 120 is not a user's", "user 1000 is remote", "user 5 is not active", "log in at the machine"] {
        assert!(why.contains(part), "{why}");
    }
    let tty = Sessions::Listed(vec![session("7", ALICE, "tty")]);
    assert!(choose(&query(RunAs::UserDesktop), &tty).unwrap_err().contains("user 1000 is not graphical"));
}

#[test]
fn a_configured_user_stands_for_a_session_only_where_there_is_no_logind() {
    let configured =
        UserQuery { run_as: RunAs::User, session_user: Some("alice".to_string()), session: None, account: None };
    let none = Sessions::NoLogind("no bus".to_string());
    assert_eq!(choose(&configured, &none), Ok(Choice::Configured("alice")));
    assert!(choose(&query(RunAs::User), &none).unwrap_err().contains("Settings:SessionUser is not set"));
    for silent in [Sessions::Failed("it hangs".to_string()), Sessions::Listed(vec![])] {
        assert!(choose(&configured, &silent).unwrap_err().starts_with("NoActiveSession: "), "{silent:?}");
    }
}

#[test]
fn a_user_is_himself_with_his_groups_and_can_gain_nothing() {
    let person = decided(RunAs::User, |_| ()).unwrap();
    let ids = Ids { uid: ALICE, gid: ALICE, groups: vec![ALICE, 44] };
    assert_eq!((person.uid, person.name.as_str(), person.ids.as_ref()), (ALICE, "alice", Some(&ids)));
    assert_eq!((person.confined, person.folder.as_str()), (true, "/srv/home/alice"));
    let expected = [
        ("PATH", DEFAULT_PATH),
        ("HOME", "/srv/home/alice"),
        ("USER", "alice"),
        ("LOGNAME", "alice"),
        ("SHELL", "/bin/zsh"),
        ("LANG", "C"),
    ];
    let pairs: Vec<(&str, &str)> =
        person.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(pairs, expected, "nothing of the agent's own, no display, no KEEPER_REQUESTING_UID");
}

#[test]
fn elevated_is_root_on_behalf_of_the_user() {
    let person = decided(RunAs::UserElevated, |facts| {
        facts.desktop.claims.push(("DISPLAY".to_string(), ":0".to_string()));
    })
    .unwrap();
    assert_eq!(person.ids, Some(Ids { uid: 0, gid: 0, groups: vec![0] }));
    assert_eq!((person.uid, person.confined, person.folder.as_str()), (0, false, "/"));
    assert_eq!(value(&person, "KEEPER_REQUESTING_UID"), Some("1000"));
    assert_eq!((value(&person, "HOME"), value(&person, "DISPLAY")), (Some("/root"), None));
}

#[test]
fn ids_that_are_root_or_nobody_at_all_are_refused() {
    for (uid, gid, user, elevated) in [
        (ALICE, ALICE, true, true),
        (0, 0, false, true),
        (ALICE, 0, false, true),
        (0, ALICE, false, true),
        (u32::MAX, ALICE, false, false),
        (ALICE, u32::MAX, false, false),
        (65_535, ALICE, false, false),
        (ALICE, 65_535, false, false),
        (65_534, 65_534, true, true),
    ] {
        for (run_as, allowed) in [(RunAs::User, user), (RunAs::UserDesktop, user), (RunAs::UserElevated, elevated)] {
            let found = facts(Sessions::Listed(vec![session("1", uid, "")]), account("x", uid, gid));
            let outcome = decide(&query(run_as), &found, None, &surroundings());
            assert_eq!(outcome.is_ok(), allowed, "{run_as:?} as {uid}:{gid}: {outcome:?}");
        }
    }
    let in_no_group = decided(RunAs::User, |facts| {
        if let Some(Ok(account)) = &mut facts.account {
            account.groups.push(u32::MAX);
        }
    });
    assert!(in_no_group.unwrap_err().contains("means nobody"));
}

#[test]
fn an_account_that_is_not_the_sessions_is_refused() {
    for (account, word) in [
        (None, "was not looked for"),
        (Some(Err("no answer".to_string())), "no answer"),
        (Some(Ok(account("bob", 1001, 1001))), "not the session's"),
    ] {
        let why = decided(RunAs::User, |facts| facts.account = account).unwrap_err();
        assert!(why.starts_with("NoActiveSession: ") && why.contains(word), "{why}");
    }
    let configured =
        UserQuery { run_as: RunAs::User, session_user: Some("alice".to_string()), session: None, account: None };
    let other = facts(Sessions::NoLogind("no bus".to_string()), account("bob", 1001, 1001));
    let why = decide(&configured, &other, None, &surroundings()).unwrap_err();
    assert!(why.contains("'bob' (user 1001") && why.contains("write Settings:SessionUser exactly so"), "{why}");
}

#[test]
fn an_agent_without_root_runs_only_its_own_user() {
    for (agent, run_as, uid, expected) in [
        (500, RunAs::User, 500, Ok(None)),
        (500, RunAs::User, ALICE, Err("run the agent as root")),
        (500, RunAs::UserElevated, 500, Err("run the agent as root")),
        (0, RunAs::User, ALICE, Ok(Some(ALICE))),
    ] {
        let found = facts(Sessions::Listed(vec![session("1", uid, "")]), account("x", uid, uid));
        let surroundings = Surroundings { uid: agent, ..surroundings() };
        let outcome = decide(&query(run_as), &found, None, &surroundings);
        match (outcome, expected) {
            (Ok(person), Ok(ids)) => assert_eq!((person.uid, person.ids.map(|ids| ids.uid)), (uid, ids)),
            (Err(why), Err(word)) => assert!(why.contains(word), "{why}"),
            (outcome, expected) => panic!("{outcome:?}, not {expected:?}"),
        }
    }
}

/// The display variables of a claim, in the order of the table, without `DISPLAY` of logind.
fn passed(claims: &[(&str, &str)], runtime: Option<RuntimeFolder>) -> Vec<String> {
    let claims = claims.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let desktop = Desktop { runtime, claims };
    let found = desktop::variables(&account("alice", ALICE, ALICE), &desktop, &[":7"]).unwrap();
    found.into_iter().map(|(name, value)| format!("{name}={value}")).filter(|pair| pair != "DISPLAY=:7").collect()
}

#[test]
fn display_variables_are_passed_where_they_are_exactly_right() {
    let own = Some(RuntimeFolder { is_folder: true, uid: ALICE, mode: 0o700 });
    for (name, value, is_passed) in [
        ("WAYLAND_DISPLAY", "wayland-0", true),
        ("WAYLAND_DISPLAY", "wayland-", false),
        ("WAYLAND_DISPLAY", "../../x", false),
        ("WAYLAND_DISPLAY", "/tmp/wayland-0", false),
        ("DISPLAY", ":0", true),
        ("DISPLAY", ":12.1", true),
        ("DISPLAY", ":0;id", false),
        ("DISPLAY", "evil:0", false),
        ("DISPLAY", ":0.", false),
        ("DISPLAY", "", false),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1000/bus", true),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1001/bus", false),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1000/bus;unixexec:path=/tmp/x", false),
        ("DBUS_SESSION_BUS_ADDRESS", "unixexec:path=/tmp/x", false),
        ("XAUTHORITY", "/srv/home/alice/.Xauthority", true),
        ("XAUTHORITY", "/run/user/1000/.mutter-Xwaylandauth.AB12", true),
        ("XAUTHORITY", "/srv/home/alice/../bob/.Xauthority", false),
        ("XAUTHORITY", "/srv/home/alicex/.Xauthority", false),
        ("XAUTHORITY", "/etc/shadow", false),
        ("LD_PRELOAD", "/tmp/x.so", false),
    ] {
        let expected = is_passed.then(|| format!("{name}={value}"));
        let mut pairs = passed(&[(name, value)], own);
        assert_eq!(pairs.remove(0), "XDG_RUNTIME_DIR=/run/user/1000");
        assert_eq!(pairs, Vec::from_iter(expected), "{name}={value}");
    }
}

#[test]
fn a_runtime_folder_of_somebody_else_is_not_passed_nor_anything_below_it() {
    let claims = [
        ("WAYLAND_DISPLAY", "wayland-0"),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1000/bus"),
        ("XAUTHORITY", "/run/user/1000/x"),
    ];
    for runtime in [
        None,
        Some(RuntimeFolder { is_folder: false, uid: ALICE, mode: 0o700 }),
        Some(RuntimeFolder { is_folder: true, uid: 0, mode: 0o700 }),
        Some(RuntimeFolder { is_folder: true, uid: ALICE, mode: 0o777 }),
        Some(RuntimeFolder { is_folder: true, uid: ALICE, mode: 0o1700 }),
    ] {
        assert_eq!(passed(&claims, runtime), Vec::<String>::new(), "{runtime:?}");
    }
}

#[test]
fn a_desktop_without_a_display_is_none() {
    let why = decided(RunAs::UserDesktop, |facts| {
        let mut unnamed = session("2", ALICE, "");
        unnamed.display.clear();
        facts.sessions = Sessions::Listed(vec![unnamed]);
    });
    assert!(why.unwrap_err().starts_with("NoActiveSession: the display of user 1000"));
    assert_eq!(value(&decided(RunAs::UserDesktop, |_| ()).unwrap(), "DISPLAY"), Some(":1"));
}

#[test]
fn a_configured_user_has_the_configured_display() {
    let configured =
        UserQuery { run_as: RunAs::UserDesktop, session_user: Some("alice".to_string()), session: None, account: None };
    let found = facts(Sessions::NoLogind("no bus".to_string()), account("alice", ALICE, ALICE));
    for (display, name) in [(":99", "DISPLAY"), ("wayland-1", "WAYLAND_DISPLAY")] {
        let person = decide(&configured, &found, Some(display), &surroundings()).unwrap();
        assert_eq!(value(&person, name), Some(display));
    }
    assert!(decide(&configured, &found, None, &surroundings()).unwrap_err().contains("Settings:SessionDisplay"));
}
