//! User-visible events of machines, in the order they were stored.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, count_column, json_text};
use model::{AppName, EventId, MachineId, News, UnixMs};

/// Events kept per machine; older ones are forgotten.
pub const EVENTS_KEPT: u32 = 1_000;

/// Most events in one answer.
pub const EVENT_PAGE_MAX: u32 = 50;

/// Whose events are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventsOf {
    /// One machine's.
    Machine(MachineId),
    /// Those of all machines of an app.
    App(AppName),
}

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

    /// The oldest events that were stored after the place `after`, oldest first, each with its own
    /// place; `limit` is cut to [`EVENT_PAGE_MAX`].
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn events_from(
        &self,
        of: &EventsOf,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, EventRecord)>, StoreError> {
        let (whose, sql) = match of {
            EventsOf::Machine(machine) => (
                machine.as_str(),
                "SELECT * FROM events WHERE machine = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            ),
            EventsOf::App(app) => (
                app.as_str(),
                // In this order: what is new is little, however many machines the app has.
                "SELECT e.* FROM events e CROSS JOIN machines m ON m.id = e.machine
                 WHERE m.app = ?1 AND e.seq > ?2 ORDER BY e.seq LIMIT ?3",
            ),
        };
        let params = (whose, count_column(after), limit.min(EVENT_PAGE_MAX));
        self.all("events", sql, params, |row| Ok((row.count("seq")?, EventRecord::from_row(row)?)))
    }

    /// The newest events of an app's machines, newest first; `limit` is cut to [`EVENT_PAGE_MAX`].
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn events_of_app(&self, app: &AppName, limit: u32) -> Result<Vec<EventRecord>, StoreError> {
        let sql = "SELECT * FROM events WHERE seq IN (
                     SELECT seq FROM events
                     WHERE machine IN (SELECT id FROM machines WHERE app = ?1)
                     ORDER BY seq DESC LIMIT ?2)
                   ORDER BY seq DESC";
        let params = (app.as_str(), limit.min(EVENT_PAGE_MAX));
        self.all("events", sql, params, EventRecord::from_row)
    }

    /// The place of an event; `None` when it is not kept.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn event_place(&self, id: &EventId) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT seq FROM events WHERE id = ?1";
        self.one("events", sql, [id.as_str()], |row| row.count("seq"))
    }

    /// The place of the newest event of all; zero when there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn last_event_place(&self) -> Result<u64, StoreError> {
        let sql = "SELECT ifnull(max(seq), 0) AS seq FROM events";
        Ok(self.one("events", sql, [], |row| row.count("seq"))?.unwrap_or(0))
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
