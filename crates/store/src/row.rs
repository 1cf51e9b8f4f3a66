//! Between rows and values: the two views of the database, and typed columns.

use crate::error::StoreError;
use model::UnixMs;
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row, Statement};
use serde::Serialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// A view of one consistent state of the database; every record type adds its queries here.
pub struct Reader<'c> {
    connection: &'c Connection,
}

/// One change in the making: reads see what it has written so far.
#[derive(Debug)]
pub struct Tx<'c> {
    reader: Reader<'c>,
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl<'c> Deref for Tx<'c> {
    type Target = Reader<'c>;

    fn deref(&self) -> &Reader<'c> {
        &self.reader
    }
}

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { reader: Reader::new(connection) }
    }

    /// Runs a statement that changes rows; answers how many.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        // After a full disk SQLite may have undone the transaction: a statement that went on would
        // be a commit of its own, half a change.
        if self.reader.connection.is_autocommit() {
            return Err(StoreError::GroupLost { change: "a change that went on after a failure" });
        }
        Ok(self.reader.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// The row id of the last insert.
    pub(crate) fn last_row_id(&self) -> i64 {
        self.reader.connection.last_insert_rowid()
    }
}

impl<'c> Reader<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { connection }
    }

    /// The first row of a query, converted.
    pub(crate) fn one<T>(
        &self,
        table: &'static str,
        sql: &str,
        params: impl Params,
        convert: impl FnOnce(&Fields<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let columns = names_of(&statement);
        let mut rows = statement.query(params)?;
        rows.next()?.map(|row| convert(&Fields { table, columns: &columns, row })).transpose()
    }

    /// All rows of a query, converted.
    pub(crate) fn all<T>(
        &self,
        table: &'static str,
        sql: &str,
        params: impl Params,
        mut convert: impl FnMut(&Fields<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let columns = names_of(&statement);
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(convert(&Fields { table, columns: &columns, row })?);
        }
        Ok(found)
    }
}

/// The names of a query's columns: asked once, because SQLite answers slowly (a list of a thousand
/// machines took 8 ms, most of it for names).
fn names_of(statement: &Statement<'_>) -> Vec<String> {
    statement.column_names().map(str::to_owned).collect()
}

/// The columns of one row, by name.
pub(crate) struct Fields<'r> {
    table: &'static str,
    columns: &'r [String],
    row: &'r Row<'r>,
}

impl Fields<'_> {
    /// A number, flag or text as SQLite knows it.
    pub(crate) fn plain<T: FromSql>(&self, column: &'static str) -> Result<T, StoreError> {
        self.row.get(self.index(column)).map_err(|e| StoreError::corrupt(self.table, column, e))
    }

    /// A count of 63 bits.
    pub(crate) fn count(&self, column: &'static str) -> Result<u64, StoreError> {
        let value: i64 = self.plain(column)?;
        u64::try_from(value).map_err(|e| StoreError::corrupt(self.table, column, e))
    }

    /// A moment.
    pub(crate) fn at(&self, column: &'static str) -> Result<UnixMs, StoreError> {
        self.count(column).map(UnixMs)
    }

    /// A moment that may be absent.
    pub(crate) fn at_opt(&self, column: &'static str) -> Result<Option<UnixMs>, StoreError> {
        let value: Option<i64> = self.plain(column)?;
        value.map(|_| self.at(column)).transpose()
    }

    /// A text that is parsed into its type: an id, an address, a word.
    pub(crate) fn parsed<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let text = self.text(column)?;
        text.parse().map_err(|e| StoreError::corrupt(self.table, column, e))
    }

    /// A text that is parsed, and may be absent.
    pub(crate) fn parsed_opt<T>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T: FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let text: Option<String> = self.plain(column)?;
        text.map(|_| self.parsed(column)).transpose()
    }

    /// One of a set of words: an enum without data, by its serde name.
    pub(crate) fn word<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        let text: StrDeserializer<'_, serde_json::Error> = self.text(column)?.into_deserializer();
        T::deserialize(text).map_err(|e| StoreError::corrupt(self.table, column, e))
    }

    /// A structured value.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        let text = self.text(column)?;
        serde_json::from_str(text).map_err(|e| StoreError::corrupt(self.table, column, e))
    }

    /// A structured value that may be absent.
    pub(crate) fn json_opt<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.plain(column)?;
        text.map(|_| self.json(column)).transpose()
    }

    /// The position of a column; past the end, which no row has, when the query lacks it.
    fn index(&self, column: &str) -> usize {
        self.columns.iter().position(|name| name == column).unwrap_or(self.columns.len())
    }

    fn text(&self, column: &'static str) -> Result<&str, StoreError> {
        let value = self
            .row
            .get_ref(self.index(column))
            .map_err(|e| StoreError::corrupt(self.table, column, e))?;
        value.as_str().map_err(|e| StoreError::corrupt(self.table, column, e))
    }
}

/// A structured value as the database stores it.
pub(crate) fn json_text(value: &impl Serialize) -> Result<String, StoreError> {
    Ok(serde_json::to_string(value)?)
}

/// An enum without data as the database stores it: its serde name, without quotes.
pub(crate) fn word_text(value: impl Serialize) -> Result<String, StoreError> {
    Ok(json_text(&value)?.trim_matches('"').to_owned())
}

/// A moment as the database stores it.
pub(crate) fn at_column(at: UnixMs) -> i64 {
    count_column(at.0)
}

/// A count as the database stores it: 63 bits; more saturates.
pub(crate) fn count_column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
