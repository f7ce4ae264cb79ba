//! Puts a query together from the parts of a filter, newest first, page by page.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

use super::columns::{Json, Micros};
use crate::domain::{Cursor, Glob, Selection};

/// Rows read at a time.
const PAGE: u32 = 1000;
/// With more values than this, walking all rows by time beats looking each value up.
const FEW: usize = 64;

/// What is asked of one table, page by page, the newest first.
pub(super) struct Question<T: 'static> {
    shape: &'static Shape<T>,
    wanted: Vec<String>,
    values: Vec<Box<dyn ToSql>>,
    /// A column that must have one of these values. Each is looked up by itself, in the order of time, and the newest of what
    /// is found are taken: no index serves several values and that order at once.
    one_of: Option<(&'static str, Vec<String>)>,
    /// The last row that was read, or where the first page begins.
    behind: Cursor,
}

/// How a table is read: what stands before WHERE, the column with the target's id, and the columns that say where a row stands,
/// time and then place. Its column `actor` is whose doing a row is.
pub(super) struct Shape<T> {
    pub(super) select: &'static str,
    pub(super) target: &'static str,
    pub(super) time: &'static str,
    pub(super) place: &'static str,
    /// The last two by the names that they have in the answer.
    pub(super) order: &'static str,
    pub(super) read: fn(&Row<'_>) -> rusqlite::Result<(Cursor, T)>,
}

impl<T> Question<T> {
    /// Asks for the rows that are selected.
    pub(super) fn about(shape: &'static Shape<T>, conn: &Connection, selection: &Selection) -> rusqlite::Result<Self> {
        let Selection { target, project, actor, since, until, behind } = selection;
        let until = Cursor::before(until.unwrap_or(Timestamp::MAX));
        let behind = behind.filter(|cursor| cursor.at < until.at).unwrap_or(until);
        let mut question = Self { shape, wanted: Vec::new(), values: Vec::new(), one_of: None, behind };
        if target.is_some() || project.is_some() {
            question.ask_one_of(shape.target, matching_targets(conn, target.as_deref(), project.as_deref())?);
        }
        if let Some(actor) = actor {
            question.ask("actor = ?", actor.clone());
        }
        if let Some(since) = since {
            question.ask(&format!("{} >= ?", shape.time), Micros(*since));
        }
        Ok(question)
    }

    /// Each `?` of the condition stands for the value.
    pub(super) fn ask(&mut self, condition: &str, value: impl ToSql + 'static) {
        self.values.push(Box::new(value));
        self.wanted.push(condition.replace('?', &format!("?{}", self.values.len())));
    }

    /// Only rows whose column has one of the values.
    pub(super) fn ask_one_of(&mut self, column: &'static str, values: Vec<String>) {
        if values.is_empty() {
            // Said as such, it is known before any row is read.
            self.wanted.push("FALSE".to_owned());
        } else if self.one_of.is_none() && (1..=FEW).contains(&values.len()) {
            self.one_of = Some((column, values));
        } else {
            // A plus keeps the planner from an index that is in another order.
            self.ask(&format!("+{column} IN (SELECT value FROM json_each(?))"), Json(values));
        }
    }

    /// The next at most `limit` rows, each with its place.
    pub(super) fn next(&mut self, conn: &Connection, limit: u32) -> rusqlite::Result<Vec<(Cursor, T)>> {
        let page = self.page(conn, limit)?;
        if let Some((cursor, _)) = page.last() {
            self.behind = *cursor;
        }
        Ok(page)
    }

    /// Shows each row of one page after another, until there is none left, `limit` is reached, or `each` breaks off.
    pub(super) fn each<B>(
        mut self,
        conn: &Connection,
        limit: Option<u32>,
        mut each: impl FnMut(Cursor, T) -> ControlFlow<B>,
    ) -> rusqlite::Result<ControlFlow<B>> {
        let mut left = limit.unwrap_or(u32::MAX);
        while left > 0 {
            let wanted = left.min(PAGE);
            let page = self.next(conn, wanted)?;
            let whole = page.len() == wanted as usize;
            for (cursor, row) in page {
                if let ControlFlow::Break(why) = each(cursor, row) {
                    return Ok(ControlFlow::Break(why));
                }
            }
            left = match (whole, limit) {
                (false, _) => 0,
                (true, Some(_)) => left - wanted,
                (true, None) => left,
            };
        }
        Ok(ControlFlow::Continue(()))
    }

    fn page(&self, conn: &Connection, limit: u32) -> rusqlite::Result<Vec<(Cursor, T)>> {
        let Shape { select, time, place, order, read, target: _ } = self.shape;
        let mut values: Vec<&dyn ToSql> = self.values.iter().map(AsRef::as_ref).collect();
        let at = Micros(self.behind.at);
        values.extend([&at as &dyn ToSql, &self.behind.place, &limit]);
        let last = values.len();
        let wanted: String = self.wanted.iter().map(|condition| format!("{condition} AND ")).collect();
        let some = |more: &str| {
            format!(
                "{select} WHERE {wanted}{more}({time}, {place}) < (?{}, ?{}) ORDER BY {time} DESC, {place} DESC LIMIT ?{last}",
                last - 2,
                last - 1
            )
        };
        let sql = match &self.one_of {
            None => some(""),
            Some((column, ones)) => {
                values.extend(ones.iter().map(|one| one as &dyn ToSql));
                let parts = (last + 1..=values.len()).map(|number| some(&format!("{column} = ?{number} AND ")));
                let parts: Vec<String> = parts.map(|part| format!("SELECT * FROM ({part})")).collect();
                format!("{} ORDER BY {order} LIMIT ?{last}", parts.join(" UNION ALL "))
            }
        };
        conn.prepare_cached(&sql)?.query_map(rusqlite::params_from_iter(values), *read)?.collect()
    }
}

fn matching_targets(conn: &Connection, glob: Option<&str>, project: Option<&str>) -> rusqlite::Result<Vec<String>> {
    let glob = glob.map(Glob::new);
    let mut ids = Vec::new();
    let mut statement =
        conn.prepare_cached("SELECT id, name FROM target WHERE ?1 IS NULL OR project = ?1 OR project_id = ?1")?;
    let mut rows = statement.query([project])?;
    while let Some(row) = rows.next()? {
        let name = row.get_ref("name")?.as_str()?;
        if glob.as_ref().is_none_or(|glob| glob.matches(name)) {
            ids.push(row.get("id")?);
        }
    }
    Ok(ids)
}
