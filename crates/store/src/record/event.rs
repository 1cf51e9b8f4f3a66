//! User-visible events of machines, in the order they were stored.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, json_text};
use model::{EventId, MachineId, News, UnixMs};

/// Events kept per machine; older ones are forgotten.
pub const EVENTS_KEPT: u32 = 1_000;

/// Most events in one answer.
pub const EVENT_PAGE_MAX: u32 = 50;

/// One user-visible event of a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// Its id.
    pub id: EventId,
    /// The machine.
    pub machine: MachineId,
    /// When it happened.
    pub at: UnixMs,
    /// What happened.
    pub news: News,
}

impl EventRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            machine: row.parsed("machine")?,
            at: row.at("at")?,
            news: row.json("news")?,
        })
    }
}

impl Reader<'_> {
    /// The newest events of a machine, newest first; only those stored after `after` if given.
    ///
    /// `limit` is cut to [`EVENT_PAGE_MAX`]. An `after` that has been forgotten hides nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn events(
        &self,
        machine: &MachineId,
        limit: u32,
        after: Option<&EventId>,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let sql = "SELECT * FROM events WHERE machine = ?1
                   AND seq > ifnull((SELECT seq FROM events WHERE id = ?2), 0)
                   ORDER BY seq DESC LIMIT ?3";
        let after = after.map_or("", EventId::as_str);
        let params = (machine.as_str(), after, limit.min(EVENT_PAGE_MAX));
        self.all("events", sql, params, EventRecord::from_row)
    }
}

impl Tx<'_> {
    /// Adds an event and forgets what is beyond [`EVENTS_KEPT`].
    ///
    /// # Errors
    /// [`StoreError::Taken`] when there is an event of this id.
    pub fn append_event(&self, event: &EventRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO events (id, machine, at, news) VALUES (?1, ?2, ?3, ?4)";
        let machine = event.machine.as_str();
        let news = json_text(&event.news)?;
        self.execute(sql, (event.id.as_str(), machine, at_column(event.at), news))?;
        let trim = "DELETE FROM events WHERE machine = ?1
                    AND seq <= (SELECT seq FROM events WHERE machine = ?1
                                ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
        self.execute(trim, (machine, EVENTS_KEPT))?;
        Ok(())
    }
}
