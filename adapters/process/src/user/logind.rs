//! The sessions of the machine as logind tells them over D-Bus: org.freedesktop.login1(5).

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use castellan_core::user::{Session, Sessions};
use zbus::connection::Builder;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, fdo};

use crate::tree::within;

/// For all questions together; logind answers each in less than a millisecond.
const DEADLINE: Duration = Duration::from_secs(5);
/// Sessions that are looked at; a machine with more is no desktop.
const MOST_SESSIONS: usize = 256;

const SERVICE: &str = "org.freedesktop.login1";
const LISTING: &str = "/org/freedesktop/login1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A session in the list: name, user id, user name, seat, object.
type Listed = (String, u32, String, String, OwnedObjectPath);

/// All sessions, or why they are not known.
pub(super) async fn sessions() -> Sessions {
    match within(DEADLINE, ask()).await {
        Some(Ok(sessions)) => Sessions::Listed(sessions),
        Some(Err(Unanswered::NoLogind(why))) => Sessions::NoLogind(why),
        Some(Err(Unanswered::Failed(why))) => Sessions::Failed(why),
        None => Sessions::Failed(format!(
            "it did not answer within {} s (systemctl status systemd-logind)",
            DEADLINE.as_secs()
        )),
    }
}

enum Unanswered {
    NoLogind(String),
    Failed(String),
}

impl From<zbus::Error> for Unanswered {
    fn from(error: zbus::Error) -> Self {
        Self::Failed(format!("its answer is of no use: {error}"))
    }
}

async fn ask() -> Result<Vec<Session>, Unanswered> {
    let bus = Builder::system().build().await.map_err(without_bus)?;
    let answer = bus
        .call_method(Some(SERVICE), LISTING, Some("org.freedesktop.login1.Manager"), "ListSessions", &())
        .await
        .map_err(without_service)?;
    let body = answer.body();
    let listed: Vec<Listed> = body.deserialize()?;
    if listed.len() > MOST_SESSIONS {
        let why = format!("it lists {} sessions, more than the {MOST_SESSIONS} that are looked at", listed.len());
        return Err(Unanswered::Failed(why));
    }
    let mut sessions = Vec::with_capacity(listed.len());
    for one in listed {
        sessions.extend(session(&bus, one).await?);
    }
    Ok(sessions)
}

/// One session; `None` where it ended meanwhile.
async fn session(bus: &Connection, (id, uid, user, seat, object): Listed) -> Result<Option<Session>, Unanswered> {
    let interface = "org.freedesktop.login1.Session";
    let answer = bus.call_method(Some(SERVICE), object.as_str(), Some(PROPERTIES), "GetAll", &(interface,)).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(zbus::Error::FDO(error)) if matches!(*error, fdo::Error::UnknownObject(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let body = answer.body();
    let properties: HashMap<String, OwnedVariant> = body.deserialize()?;
    let missing = |name: &str| Unanswered::Failed(format!("session {id:?} has no {name} that can be read"));
    let text = |name| {
        properties
            .get(name)
            .and_then(|value| <&str>::try_from(value).ok())
            .map(str::to_owned)
            .ok_or_else(|| missing(name))
    };
    let flag = |name| properties.get(name).and_then(|value| bool::try_from(value).ok()).ok_or_else(|| missing(name));
    Ok(Some(Session {
        uid,
        user,
        class: text("Class")?,
        kind: text("Type")?,
        state: text("State")?,
        active: flag("Active")?,
        remote: flag("Remote")?,
        seat,
        display: text("Display")?,
        id: id.clone(),
    }))
}

/// No bus at all is no logind; a bus that does not let us in is a fault.
fn without_bus(error: zbus::Error) -> Unanswered {
    let absent = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
    let why = format!("the system's D-Bus cannot be reached: {error}");
    let is_absent =
        matches!(&error, zbus::Error::Connection(cause, _) | zbus::Error::InputOutput(cause) if absent(cause));
    if is_absent { Unanswered::NoLogind(why) } else { Unanswered::Failed(why) }
}

/// A bus on which nobody has logind's name, nor can be started under it.
fn without_service(error: zbus::Error) -> Unanswered {
    let absent = |known: &fdo::Error| {
        matches!(known, fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) | fdo::Error::SpawnChildExited(_))
    };
    if matches!(&error, zbus::Error::FDO(known) if absent(known)) {
        return Unanswered::NoLogind(format!("nobody on the system's D-Bus is it: {error}"));
    }
    error.into()
}
