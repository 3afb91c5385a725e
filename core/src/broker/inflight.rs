//! Messages of QoS 1 and 2 on their way to one client: their packet identifiers, their order, what each one waits for
//! (MQTT 5.0 4.3, 4.4, 4.6).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::message::Delivery;

/// Packet identifiers: 1 to 65535.
const IDENTIFIERS: u64 = 65_535;

/// What a message waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inflight {
    /// PUBACK, or PUBREC.
    Published(Delivery),
    /// PUBCOMP. The message is the client's now (MQTT 5.0 4.3.3).
    Released,
}

/// The unfinished messages of one session, in the order they were first sent.
///
/// A message's place in that order gives its packet identifier, `place % 65535 + 1`, so that neither has to be searched for. The
/// places from the oldest unfinished message on are kept; at most 65,535 of them, so that no identifier occurs twice.
#[derive(Debug, Default)]
pub(super) struct Window {
    first: u64,
    places: VecDeque<Option<Inflight>>,
}

impl Window {
    /// Whether an identifier is free for one more.
    pub(super) fn has_room(&self) -> bool {
        u64::try_from(self.places.len()).is_ok_and(|length| length < IDENTIFIERS)
    }

    /// Adds a message and gives it its packet identifier. The caller has asked [`Window::has_room`].
    pub(super) fn push(&mut self, mut delivery: Delivery) -> Delivery {
        delivery.packet = identifier(self.end());
        self.places.push_back(Some(Inflight::Published(delivery.clone())));
        delivery
    }

    /// The place after the last one.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.places.len()).unwrap_or(u64::MAX))
    }

    /// The first unfinished message at this place or after it.
    pub(super) fn from(&self, place: u64) -> Option<(u64, u16, &Inflight)> {
        let skipped = usize::try_from(place.saturating_sub(self.first)).ok()?;
        let (offset, found) =
            self.places.iter().enumerate().skip(skipped).find_map(|(offset, one)| Some((offset, one.as_ref()?)))?;
        let place = self.first.saturating_add(u64::try_from(offset).ok()?);
        Some((place, identifier(place)?, found))
    }

    /// What the message with this packet identifier waits for.
    pub(super) fn get_mut(&mut self, packet: u16) -> Option<&mut Inflight> {
        let index = self.index(packet)?;
        self.places.get_mut(index)?.as_mut()
    }

    /// The place of the unfinished message with this packet identifier.
    pub(super) fn place(&self, packet: u16) -> Option<u64> {
        let index = self.index(packet)?;
        self.places.get(index)?.as_ref()?;
        self.first.checked_add(u64::try_from(index).ok()?)
    }

    /// Finishes the message with this packet identifier.
    pub(super) fn remove(&mut self, packet: u16) -> Option<Inflight> {
        let index = self.index(packet)?;
        let found = self.places.get_mut(index)?.take()?;
        while matches!(self.places.front(), Some(None)) {
            self.places.pop_front();
            self.first = self.first.saturating_add(1);
        }
        Some(found)
    }

    /// Finishes every message, in their order.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Inflight> + use<> {
        self.first = self.end();
        core::mem::take(&mut self.places).into_iter().flatten()
    }

    /// The messages that wait for PUBACK or PUBREC, in their order.
    pub(super) fn published(&self) -> impl Iterator<Item = &Delivery> {
        self.places.iter().flatten().filter_map(|one| match one {
            Inflight::Published(delivery) => Some(delivery),
            Inflight::Released => None,
        })
    }

    /// The packet identifiers of the messages that `wanted` says, in their order.
    pub(super) fn find(&self, wanted: impl Fn(&Inflight) -> bool) -> Vec<u16> {
        let found = self.places.iter().zip(self.first..).filter(|(one, _)| one.as_ref().is_some_and(&wanted));
        found.filter_map(|(_, place)| identifier(place)).collect()
    }

    fn index(&self, packet: u16) -> Option<usize> {
        let wanted = u64::from(packet).checked_sub(1)?;
        let here = self.first.checked_rem(IDENTIFIERS)?;
        let offset = wanted.saturating_add(IDENTIFIERS).saturating_sub(here).checked_rem(IDENTIFIERS)?;
        usize::try_from(offset).ok()
    }
}

fn identifier(place: u64) -> Option<u16> {
    let number = place.checked_rem(IDENTIFIERS)?.saturating_add(1);
    u16::try_from(number).ok()
}
