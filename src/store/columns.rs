//! How domain values stand in columns: times as microseconds, enum words as text, the rest as JSON.

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A row whose columns are asked for by name: of the database, or of a replay.
pub(super) trait Columns {
    fn get<T: FromSql>(&self, column: &str) -> rusqlite::Result<T>;

    /// A time that may be absent.
    fn time(&self, column: &str) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.get::<Option<Micros>>(column)?.map(|Micros(time)| time))
    }

    /// A value in JSON that may be absent.
    fn json<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<Option<T>> {
        Ok(self.get::<Option<Json<T>>>(column)?.map(|Json(value)| value))
    }
}

impl Columns for Row<'_> {
    fn get<T: FromSql>(&self, column: &str) -> rusqlite::Result<T> {
        Row::get(self, column)
    }
}

/// A time: whole microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Micros(pub(super) Timestamp);

impl ToSql for Micros {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_microsecond().into())
    }
}

impl FromSql for Micros {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let micros = value.as_i64()?;
        Timestamp::from_microsecond(micros).map(Self).map_err(|_| FromSqlError::OutOfRange(micros))
    }
}

/// A value of an enum without data, by its persisted word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<T>(pub(super) T);

impl<T: Serialize> ToSql for Word<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match serde_json::to_value(&self.0) {
            Ok(serde_json::Value::String(word)) => Ok(word.into()),
            Ok(_) => Err(rusqlite::Error::ToSqlConversionFailure("an enum with data is no word".into())),
            Err(error) => Err(rusqlite::Error::ToSqlConversionFailure(error.into())),
        }
    }
}

impl<T: DeserializeOwned> FromSql for Word<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?.to_owned();
        serde_json::from_value(word.into()).map(Self).map_err(FromSqlError::other)
    }
}

/// Any value, as JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text =
            serde_json::to_string(&self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(text.into())
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}
