//! A simulated disk that loses, tears and delays writes, and a seal for it: what [`Vault`](castellan_core::lkg::vault::Vault) is held
//! against. What was not synced is after a crash there, partly there or not there, each by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use castellan_core::lkg::vault::{Disk, KeyId, Purpose, Seal, Stamp};
use castellan_core::lkg::{Cause, DefinitionChange, Item, NotWritten};

type Files = BTreeMap<String, Vec<u8>>;

/// What is blessed: the document of each item.
pub type Blessed = BTreeMap<Item, Vec<u8>>;

/// What is blessed after these changes.
#[must_use]
pub fn apply(blessed: &Blessed, changes: &[DefinitionChange]) -> Blessed {
    let mut blessed = blessed.clone();
    for DefinitionChange { item, document } in changes {
        match document {
            Some(document) => drop(blessed.insert(item.clone(), document.to_vec())),
            None => drop(blessed.remove(item)),
        }
    }
    blessed
}

/// What happens to one call that changes the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine stops in the middle of it.
    Crash,
    /// The disk is full, or what was done cannot be brought to it.
    Full,
}

/// A change that is not on disk yet.
#[derive(Debug, Clone)]
enum Late {
    Written(String, Vec<u8>),
    Removed(String),
}

impl Late {
    fn name(&self) -> &str {
        let (Self::Written(name, _) | Self::Removed(name)) = self;
        name
    }
}

/// The disk and the keys of one machine.
#[derive(Debug, Default)]
pub struct Machine {
    /// What programs see.
    seen: Files,
    /// What survives for sure.
    durable: Files,
    late: Vec<Late>,
    keys: Vec<KeyId>,
    /// Counts up, so that no nonce, key or stamp ever comes twice.
    number: u64,
    stamps: BTreeMap<String, u64>,
    /// Calls until the fault.
    fault: Option<(u32, Fault)>,
    /// Decides what of a call, and of what is late, takes place.
    dice: u64,
    stopped: bool,
    /// Every content that a file ever had.
    past: Vec<Vec<u8>>,
}

/// Handles to one machine; a copy means the same machine.
#[derive(Debug, Clone, Default)]
pub struct Handle(Rc<RefCell<Machine>>);

fn failed(why: &str) -> NotWritten {
    let cause = if why == "full" { Cause::Full } else { Cause::Other };
    NotWritten { cause, reason: format!("{why}.") }
}

impl Machine {
    fn next(&mut self) -> u64 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        // Knuth's multiplier; the high bits are the good ones.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33).checked_rem(sides).unwrap_or(0)
    }

    /// The fault of this call, if it is its turn.
    fn turn(&mut self) -> Result<Option<Fault>, NotWritten> {
        if self.stopped {
            return Err(failed("the machine stopped"));
        }
        match &mut self.fault {
            None => Ok(None),
            Some((0, fault)) => {
                let fault = *fault;
                self.fault = None;
                self.stopped = fault == Fault::Crash;
                Ok(Some(fault))
            }
            Some((calls, _)) => {
                *calls = calls.saturating_sub(1);
                Ok(None)
            }
        }
    }

    fn see(&mut self, name: &str, bytes: Option<Vec<u8>>) {
        let stamp = self.next();
        match bytes {
            Some(bytes) => {
                self.past.push(bytes.clone());
                self.seen.insert(name.to_owned(), bytes);
                self.stamps.insert(name.to_owned(), stamp);
            }
            None => {
                self.seen.remove(name);
                self.stamps.remove(name);
            }
        }
    }

    /// This is on disk, and nothing of the name is late any more: what was is the content of a file that is gone.
    fn keep(&mut self, name: &str, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => drop(self.durable.insert(name.to_owned(), bytes.to_vec())),
            None => drop(self.durable.remove(name)),
        }
        self.late.retain(|late| late.name() != name);
    }

    /// A part of these bytes, perhaps with zeros for the rest, as a file system may leave it.
    fn torn(&mut self, bytes: &[u8]) -> Vec<u8> {
        let whole = u64::try_from(bytes.len()).unwrap_or(0);
        let kept = usize::try_from(self.roll(whole.saturating_add(1))).unwrap_or(0);
        let mut torn: Vec<u8> = bytes.iter().copied().take(kept).collect();
        if self.roll(2) == 0 {
            torn.resize(bytes.len(), 0);
        }
        torn
    }

    fn restart(&mut self) {
        let mut late = std::mem::take(&mut self.late);
        let mut files = self.durable.clone();
        while !late.is_empty() {
            // In any order.
            let place = usize::try_from(self.roll(u64::try_from(late.len()).unwrap_or(1))).unwrap_or(0);
            match (late.swap_remove(place), self.roll(3)) {
                (_, 0) => {}
                (Late::Removed(name), _) => drop(files.remove(&name)),
                (Late::Written(name, bytes), 1) => drop(files.insert(name, bytes)),
                (Late::Written(name, bytes), _) => {
                    let torn = self.torn(&bytes);
                    files.insert(name, torn);
                }
            }
        }
        self.durable.clone_from(&files);
        self.stopped = false;
        self.fault = None;
        self.seen.clear();
        for (name, bytes) in files {
            self.see(&name, Some(bytes));
        }
    }
}

impl Handle {
    /// Lets this happen to the call after so many more that change the disk.
    pub fn break_after(&self, calls: u32, fault: Fault, dice: u64) {
        let mut machine = self.0.borrow_mut();
        machine.fault = Some((calls, fault));
        machine.dice = dice;
    }

    /// Whether the fault happened, so that it waits no more.
    pub fn is_broken(&self) -> bool {
        self.0.borrow().fault.is_none()
    }

    /// Whether the machine stopped.
    pub fn is_stopped(&self) -> bool {
        self.0.borrow().stopped
    }

    /// Power comes back, or goes and comes back.
    pub fn restart(&self) {
        self.0.borrow_mut().restart();
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        self.0.borrow().seen.keys().cloned().collect()
    }

    /// A file's content, past the vault.
    pub fn content(&self, name: &str) -> Vec<u8> {
        self.0.borrow().seen.get(name).cloned().unwrap_or_default()
    }

    /// Every content that any file ever had.
    pub fn past(&self) -> Vec<Vec<u8>> {
        self.0.borrow().past.clone()
    }

    /// Somebody else gives a file this content, or removes it; on disk at once.
    pub fn tamper(&self, name: &str, bytes: Option<Vec<u8>>) {
        let mut machine = self.0.borrow_mut();
        machine.keep(name, bytes.as_deref());
        machine.see(name, bytes);
    }

    /// The same, on disk sooner or later.
    pub fn edit(&self, name: &str, bytes: Option<Vec<u8>>) {
        let mut machine = self.0.borrow_mut();
        machine.late.push(match &bytes {
            Some(bytes) => Late::Written(name.to_owned(), bytes.clone()),
            None => Late::Removed(name.to_owned()),
        });
        machine.see(name, bytes);
    }
}

impl Disk for Handle {
    fn list(&mut self) -> Result<BTreeMap<String, Stamp>, String> {
        let machine = self.0.borrow();
        let stamp = |(name, bytes): (&String, &Vec<u8>)| {
            let inode = machine.stamps.get(name).copied().unwrap_or(0);
            (name.clone(), Stamp { inode, size: u64::try_from(bytes.len()).unwrap_or(0), changed: 0 })
        };
        Ok(machine.seen.iter().map(stamp).collect())
    }

    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.borrow().seen.get(name).cloned())
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), NotWritten> {
        let mut machine = self.0.borrow_mut();
        let fault = machine.turn()?;
        let bytes = if fault.is_some() { machine.torn(bytes) } else { bytes.to_vec() };
        machine.see(name, Some(bytes.clone()));
        machine.late.push(Late::Written(name.to_owned(), bytes));
        fault.map_or(Ok(()), |_| Err(failed("full")))
    }

    fn sync(&mut self) -> Result<(), NotWritten> {
        let mut machine = self.0.borrow_mut();
        if machine.turn()?.is_some() {
            return Err(failed("full"));
        }
        machine.late.clear();
        machine.durable = machine.seen.clone();
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), NotWritten> {
        let mut machine = self.0.borrow_mut();
        let fault = machine.turn()?;
        let step = if fault.is_some() { machine.roll(3) } else { 3 };
        match step {
            // Before the rename; only a crash leaves the draft.
            0 if fault == Some(Fault::Crash) => {
                let (draft, torn) = (format!(".{name}.new"), machine.torn(bytes));
                machine.see(&draft, Some(torn.clone()));
                machine.durable.insert(draft, torn);
            }
            0 => {}
            // Renamed, and whether that is on disk nobody knows: its content is.
            1 => {
                machine.see(name, Some(bytes.to_vec()));
                if machine.roll(2) == 0 {
                    machine.keep(name, Some(bytes));
                }
            }
            // On disk, though the call may not have returned. Other names are as late as they were.
            _ => {
                machine.see(name, Some(bytes.to_vec()));
                machine.keep(name, Some(bytes));
            }
        }
        fault.map_or(Ok(()), |_| Err(failed("full")))
    }

    fn remove(&mut self, name: &str) -> Result<(), NotWritten> {
        let mut machine = self.0.borrow_mut();
        if machine.turn()?.is_some() && machine.roll(2) == 0 {
            return Err(failed("cannot be removed"));
        }
        machine.see(name, None);
        machine.late.push(Late::Removed(name.to_owned()));
        Ok(())
    }
}

impl Seal for Handle {
    fn keys(&self) -> Vec<KeyId> {
        self.0.borrow().keys.clone()
    }

    fn create(&mut self, _: Option<KeyId>) -> Result<KeyId, NotWritten> {
        let mut machine = self.0.borrow_mut();
        let fault = machine.turn()?;
        let key = KeyId(machine.next().to_be_bytes());
        if fault.is_none() || (fault == Some(Fault::Crash) && machine.roll(2) == 0) {
            // A former attempt's key gives way, as there are two places only.
            machine.keys.truncate(1);
            machine.keys.push(key);
        }
        fault.map_or(Ok(key), |_| Err(failed("full")))
    }

    fn keep(&mut self, key: KeyId) -> Result<(), NotWritten> {
        let mut machine = self.0.borrow_mut();
        if machine.keys == [key] {
            return Ok(());
        }
        let fault = machine.turn()?;
        if fault.is_none() || (fault == Some(Fault::Crash) && machine.roll(2) == 0) {
            machine.keys = vec![key];
        }
        fault.map_or(Ok(()), |_| Err(failed("full")))
    }

    fn seal(&mut self, key: KeyId, purpose: Purpose, bound_to: &[u8], plain: &[u8]) -> Result<Vec<u8>, String> {
        let nonce = self.0.borrow_mut().next().to_be_bytes();
        let tag = tag(key, purpose, bound_to, &nonce, plain);
        Ok([nonce.as_slice(), plain, &tag].concat())
    }

    fn open(&self, key: KeyId, purpose: Purpose, bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<8>()?;
        let (plain, found) = rest.split_last_chunk::<16>()?;
        let is_known = self.0.borrow().keys.contains(&key);
        (is_known && *found == tag(key, purpose, bound_to, nonce, plain)).then(|| plain.to_vec())
    }

    fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.iter_mut().zip(digest_of(7, &[bytes])).for_each(|(place, byte)| *place = byte);
        digest
    }
}

/// Tells contents apart as a real tag does, for everybody who does not try to forge one.
fn tag(key: KeyId, purpose: Purpose, bound_to: &[u8], nonce: &[u8], plain: &[u8]) -> [u8; 16] {
    let purpose = match purpose {
        Purpose::Manifest => b"m",
        Purpose::Record => b"r",
    };
    let parts = [key.0.as_slice(), purpose, bound_to, nonce, plain];
    let mut tag = [0; 16];
    let halves = digest_of(1, &parts).into_iter().chain(digest_of(2, &parts));
    tag.iter_mut().zip(halves).for_each(|(place, byte)| *place = byte);
    tag
}

/// FNV-1a of the parts and their lengths.
fn digest_of(seed: u64, parts: &[&[u8]]) -> [u8; 8] {
    let lengths = parts.iter().flat_map(|part| part.len().to_le_bytes());
    let bytes = lengths.chain(parts.iter().flat_map(|part| part.iter().copied()));
    let start = 0xCBF2_9CE4_8422_2325_u64.wrapping_add(seed);
    bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)).to_le_bytes()
}
