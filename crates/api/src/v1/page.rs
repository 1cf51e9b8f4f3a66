//! Where a page of machines begins: after the last change of the last one of the page before.
//!
//! A machine that changes while somebody reads pages comes once more at the end, so whoever reads on
//! misses nothing.

use super::query::{Params, wrong};
use crate::problem::Problem;
use model::{MachineId, UnixMs};
use std::fmt;
use store::MachineSummary;

/// A place in the order of last changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    at: UnixMs,
    /// `None` is before all machines of that moment.
    machine: Option<MachineId>,
}

impl Place {
    /// Where the page that is asked for begins, by `cursor`, else by `updated_after`.
    pub(super) fn after(params: &Params) -> Result<Option<Self>, Problem> {
        if let Some(cursor) = params.text("cursor") {
            let place = Self::parse(cursor);
            return place
                .map(Some)
                .ok_or_else(|| wrong("cursor", cursor, "the `next_cursor` of the page before"));
        }
        let at = super::usage::moment(params, "updated_after")?;
        Ok(at.map(|at| Self { at, machine: None }))
    }

    /// The place of a machine.
    pub(super) fn of(record: &MachineSummary) -> Self {
        Self { at: record.updated_at, machine: Some(record.id.clone()) }
    }

    /// Whether a machine comes after it.
    pub(super) fn precedes(&self, record: &MachineSummary) -> bool {
        match &self.machine {
            Some(machine) => (self.at, machine) < (record.updated_at, &record.id),
            None => self.at <= record.updated_at,
        }
    }

    fn parse(cursor: &str) -> Option<Self> {
        let (at, machine) = cursor.split_once('-')?;
        Some(Self { at: UnixMs(at.parse().ok()?), machine: Some(machine.parse().ok()?) })
    }
}

impl fmt::Display for Place {
    /// As a cursor; later ones are larger as texts, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.machine.as_ref().map_or("", MachineId::as_str);
        write!(f, "{:016}-{machine}", self.at.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let machine: MachineId = "0e286039a42d18".parse().expect("an id");
        let place = Place { at: UnixMs(1_795_255_200_123), machine: Some(machine) };
        assert_eq!(place.to_string(), "0001795255200123-0e286039a42d18");
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        for nonsense in ["", "-", "1", "x-0e286039a42d18", "1-x", "1-0e286039a42d18-"] {
            assert_eq!(Place::parse(nonsense), None, "{nonsense}");
        }
    }
}
