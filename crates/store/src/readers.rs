//! The pool of read-only connections.
//!
//! Reading never waits for the writer: SQLite's log gives each reader the state as of its start.

use crate::connection::open_reader;
use crate::error::StoreError;
use crate::row::Reader;
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Readers at the same time: reads take microseconds, so a handful serves hundreds of callers.
const READERS_MAX: usize = 4;

/// Read-only connections, opened when first needed.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Connection>,
    n_open: usize,
    is_closed: bool,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, pool: Mutex::default(), returned: Condvar::new() }
    }

    /// Runs `look` on one consistent state of the database.
    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&Reader<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let borrowed = self.borrow()?;
        let connection = borrowed.connection();
        connection.prepare_cached("BEGIN")?.execute([])?;
        let found = look(&Reader::new(connection));
        connection.prepare_cached("COMMIT")?.execute([])?;
        found
    }

    /// Ends reading; connections on loan close when they come back.
    pub(crate) fn close(&self) {
        let mut pool = self.lock();
        pool.is_closed = true;
        pool.n_open -= pool.idle.len();
        pool.idle.clear();
        self.returned.notify_all();
    }

    fn borrow(&self) -> Result<Borrowed<'_>, StoreError> {
        let mut pool = self.lock();
        loop {
            if pool.is_closed {
                return Err(StoreError::Closed);
            }
            if let Some(connection) = pool.idle.pop() {
                return Ok(Borrowed { readers: self, connection: Some(connection) });
            }
            if pool.n_open < READERS_MAX {
                break;
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        pool.n_open += 1;
        drop(pool);
        // From here the guard gives the place back, also when opening fails.
        let mut place = Borrowed { readers: self, connection: None };
        place.connection = Some(open_reader(&self.path)?);
        Ok(place)
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        // The pool is consistent between any two statements: a panic elsewhere cannot harm it.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on loan; goes back to the pool when dropped.
struct Borrowed<'p> {
    readers: &'p Readers,
    connection: Option<Connection>,
}

impl Borrowed<'_> {
    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("a loan holds its connection until it is dropped")
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // A read that failed or panicked may have left its transaction open.
        let usable = self
            .connection
            .take()
            .filter(|c| c.is_autocommit() || c.execute_batch("ROLLBACK").is_ok());
        let mut pool = self.readers.lock();
        match usable {
            Some(connection) if !pool.is_closed => pool.idle.push(connection),
            Some(_) | None => pool.n_open -= 1,
        }
        self.readers.returned.notify_one();
    }
}
