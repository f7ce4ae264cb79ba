//! Puts a query together from the parts of a filter, newest first, page by page.

use std::ops::ControlFlow;

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};
use wildmatch::WildMatch;

use super::columns::{Json, Micros};
use crate::domain::Cursor;

/// Rows read at a time.
const PAGE: u32 = 1000;
/// With more matching targets than this, walking all rows by time beats looking each target up.
const FEW_TARGETS: usize = 64;

/// What follows WHERE, with its values.
#[derive(Default)]
pub(super) struct Question {
    wanted: Vec<String>,
    values: Vec<Box<dyn ToSql>>,
}

impl Question {
    /// Each `?` of the condition stands for the value.
    pub(super) fn ask(&mut self, condition: &str, value: impl ToSql + 'static) {
        self.values.push(Box::new(value));
        self.wanted.push(condition.replace('?', &format!("?{}", self.values.len())));
    }

    /// Only rows about targets whose name matches, or whose project has this name or id; `column` holds the target's id.
    pub(super) fn ask_targets(
        &mut self,
        conn: &Connection,
        column: &str,
        glob: Option<&str>,
        project: Option<&str>,
    ) -> rusqlite::Result<()> {
        if glob.is_none() && project.is_none() {
            return Ok(());
        }
        let ids = matching_targets(conn, glob, project)?;
        // A plus keeps the planner from the index by target.
        let plus = if ids.len() <= FEW_TARGETS { "" } else { "+" };
        self.ask(&format!("{plus}{column} IN (SELECT value FROM json_each(?))"), Json(ids));
        Ok(())
    }

    /// The page behind the cursor, in the order of time and place, the newest first.
    pub(super) fn page<T>(
        &self,
        conn: &Connection,
        select: &str,
        (time, place): (&str, &str),
        behind: Cursor,
        limit: u32,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let wanted: String = self.wanted.iter().map(|condition| format!("{condition} AND ")).collect();
        let next = self.values.len() + 1;
        let sql = format!(
            "{select} WHERE {wanted}({time}, {place}) < (?{next}, ?{}) ORDER BY {time} DESC, {place} DESC LIMIT ?{}",
            next + 1,
            next + 2
        );
        let own: [Box<dyn ToSql>; 3] = [Box::new(Micros(behind.at)), Box::new(behind.place), Box::new(limit)];
        let values = self.values.iter().chain(&own);
        conn.prepare_cached(&sql)?.query_map(rusqlite::params_from_iter(values), read)?.collect()
    }
}

/// Shows each row of one page after another, until there is none left, `limit` is reached, or `each` breaks off.
pub(super) fn page_by_page<T, B>(
    limit: Option<u32>,
    mut next: impl FnMut(u32) -> rusqlite::Result<Vec<(Cursor, T)>>,
    mut each: impl FnMut(Cursor, T) -> ControlFlow<B>,
) -> rusqlite::Result<ControlFlow<B>> {
    let mut left = limit.unwrap_or(u32::MAX);
    while left > 0 {
        let wanted = left.min(PAGE);
        let page = next(wanted)?;
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

fn matching_targets(conn: &Connection, glob: Option<&str>, project: Option<&str>) -> rusqlite::Result<Vec<String>> {
    let glob = glob.map(WildMatch::new);
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
