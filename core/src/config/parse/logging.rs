//! `system.logging`: each key with dots in its name, or all in nested objects; no key both ways.

use alloc::format;

use super::{Checked, LEVELS, Section, choice, shown, wrong};
use crate::config::Logging;
use crate::job::finding::{Report, quote};
use crate::shape::{Key, Object, Others, Shape, Text};

/// Bytes of one file: room for the largest record, and what still opens in an editor.
const FILE_BYTES: (i64, i64) = (1 << 20, 1 << 30);
/// An hour to a year.
const FILE_HOURS: (i64, i64) = (1, 365 * 24);
/// Two of the smallest files, to a terabyte.
const TOTAL_BYTES: (i64, i64) = (2 << 20, 1 << 40);
/// Messages of one client.
const MESSAGES: (i64, i64) = (1, 1_000_000);

/// A key by its name with dots and its name in the nested object.
struct Name {
    dotted: &'static str,
    nested: &'static str,
}

const LEVEL: Name = Name { dotted: "system.logging.level", nested: "level" };
const BYTES: Name = Name { dotted: "system.logging.fileBytes", nested: "fileBytes" };
const HOURS: Name = Name { dotted: "system.logging.fileHours", nested: "fileHours" };
const TOTAL: Name = Name { dotted: "system.logging.totalBytes", nested: "totalBytes" };
const RATE: Name = Name { dotted: "system.logging.clientRate", nested: "clientRate" };
const BURST: Name = Name { dotted: "system.logging.clientBurst", nested: "clientBurst" };
const JOURNAL: Name = Name { dotted: "system.logging.journal", nested: "journal" };

pub(super) const fn level(name: &'static str) -> Key {
    Key::defaulting(name, Shape::Choice(&LEVELS), "Information", "Messages below it are not written.")
}

pub(super) const fn file_bytes(name: &'static str) -> Key {
    Key::number(name, FILE_BYTES, 16 << 20, "Bytes of one file of the log; a full one becomes agent.jsonl.1.")
}

pub(super) const fn file_hours(name: &'static str) -> Key {
    Key::number(name, FILE_HOURS, 7 * 24, "Hours that one file of the log spans at most.")
}

pub(super) const fn total_bytes(name: &'static str) -> Key {
    Key::number(name, TOTAL_BYTES, 64 << 20, "Bytes of all files of the log; the oldest go. At least twice fileBytes.")
}

pub(super) const fn client_rate(name: &'static str) -> Key {
    Key::number(name, MESSAGES, 5000, "Log messages that one client may send in a second; what is more is dropped.")
}

pub(super) const fn client_burst(name: &'static str) -> Key {
    Key::number(name, MESSAGES, 10_000, "Log messages that one client may send at once after a pause.")
}

pub(super) const fn journal(name: &'static str) -> Key {
    let shape = Shape::Text(Text::like(r"^(/.*)?$").such_as("/run/systemd/journal/socket"));
    Key::defaulting(name, shape, "/run/systemd/journal/socket", "The socket of journald; empty: nothing is sent there.")
}

pub(super) static SYSTEM: Object = Object {
    name: "system",
    doc: "system.logging as nested objects.",
    keys: &[Key::new("logging", Shape::Object(&LOGGING), "Logging.")],
    rules: &[],
    others: Others::Kept,
};

static LOGGING: Object = Object {
    name: "logging",
    doc: "Logging.",
    keys: &[
        level(LEVEL.nested),
        file_bytes(BYTES.nested),
        file_hours(HOURS.nested),
        total_bytes(TOTAL.nested),
        client_rate(RATE.nested),
        client_burst(BURST.nested),
        journal(JOURNAL.nested),
    ],
    rules: &[],
    others: Others::Kept,
};

/// Both ways of writing.
struct Ways<'s, 'a> {
    dotted: &'s Section<'a>,
    nested: Option<Section<'a>>,
}

impl<'a> Ways<'_, 'a> {
    /// The section that has the key, and what the key is called there.
    fn find(&self, name: &Name) -> Checked<(&Section<'a>, &'static str)> {
        let nested = self.nested.as_ref().and_then(|nested| Some((nested, nested.reader.take(name.nested)?)));
        match (nested, self.dotted.reader.take(name.dotted)) {
            (Some((nested, found)), Some(_)) => {
                let allowed = format!("given once, not also as '{}'", name.dotted);
                Err(wrong(&nested.key(name.nested), &shown(found.value), &allowed))
            }
            (Some((nested, _)), None) => Ok((nested, name.nested)),
            (None, _) => Ok((self.dotted, name.dotted)),
        }
    }

    fn number<T: TryFrom<i64>>(&self, name: &Name, target: &mut T) -> Checked<()> {
        let (section, name) = self.find(name)?;
        section.number(name, target)
    }
}

pub(super) fn read(section: &Section<'_>, logging: &mut Logging, unknown: &mut Report) -> Checked<()> {
    let system = section.section("system", &SYSTEM)?;
    let nested = match &system {
        Some(system) => system.section("logging", &LOGGING)?,
        None => None,
    };
    let ways = Ways { dotted: section, nested };
    let (place, name) = ways.find(&LEVEL)?;
    if let Some((key, text)) = place.text(name)? {
        logging.level = choice(&key, &text, &LEVELS)?;
    }
    ways.number(&BYTES, &mut logging.files.file_bytes)?;
    ways.number(&HOURS, &mut logging.files.file_hours)?;
    ways.number(&TOTAL, &mut logging.files.total_bytes)?;
    let least = logging.files.file_bytes.saturating_mul(2);
    if logging.files.total_bytes < least {
        let (place, name) = ways.find(&TOTAL)?;
        let allowed = format!("at least twice fileBytes, which is {least}");
        return Err(wrong(&place.key(name), &format!("{}", logging.files.total_bytes), &allowed));
    }
    ways.number(&RATE, &mut logging.client.per_second)?;
    ways.number(&BURST, &mut logging.client.burst)?;
    let (place, name) = ways.find(&JOURNAL)?;
    if let Some((key, text)) = place.text(name)? {
        if !text.is_empty() && !text.starts_with('/') || text.contains('\0') {
            return Err(wrong(&key, &quote(&text), "the absolute path of a socket, or empty"));
        }
        logging.journal = Some(text).filter(|text| !text.is_empty());
    }
    if let Some(nested) = ways.nested {
        nested.finish(unknown);
    }
    if let Some(system) = system {
        system.finish(unknown);
    }
    Ok(())
}
