//! Reads back what the tables say: the fleet, the head of the ledger and its identity.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::VerifierKey;
use super::chain::Record;
use super::columns::{Columns, Json, Micros, Word};
use crate::domain::{
    AlertKind, AlertSubject, ApiKey, ApiKeyId, ApiKeyRecord, ClockStep, ClusterId, Credential, Fleet, Freeze, Gap,
    Glob, Governance, KeyId, KeyOrigin, KeyRecord, ManagerName, ManagerRecord, OrderedFreeze, Pause, Period, Phase,
    PolicyName, ProjectId, ReceiverName, ReceiverRecord, Rotation, RotationId, Span, State, Target, TargetId,
    TargetRecord, Told, Trouble,
};
use crate::ports::Head;

/// The random id that the chain starts from; none if the ledger was not begun.
pub(super) fn identity(conn: &Connection) -> rusqlite::Result<Option<[u8; 32]>> {
    conn.query_row("SELECT id FROM ledger_identity", [], |row| row.get(0)).optional()
}

/// The head of the ledger.
pub(super) fn head(conn: &Connection) -> rusqlite::Result<Head> {
    let mut newest = conn.prepare_cached("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1")?;
    match newest.query_row([], |row| Ok(Head { seq: row.get(0)?, hash: row.get(1)? })).optional()? {
        Some(head) => Ok(head),
        None => Ok(Head { seq: 0, hash: identity(conn)?.ok_or(rusqlite::Error::QueryReturnedNoRows)? }),
    }
}

/// The hash of a record; none if there is no such record.
pub(super) fn hash_of(conn: &Connection, seq: u64) -> rusqlite::Result<Option<[u8; 32]>> {
    conn.prepare_cached("SELECT hash FROM ledger WHERE seq = ?")?.query_row([seq], |row| row.get(0)).optional()
}

/// The keys that sign checkpoints, each with the record that names it, in order. A replay finds those that are none.
pub(super) fn checkpoint_keys(conn: &Connection) -> rusqlite::Result<Vec<(u64, VerifierKey)>> {
    let keys: Vec<(u64, Option<String>)> = conn
        .prepare(
            "SELECT seq, CASE json_type(payload, '$.key') WHEN 'text' THEN payload ->> '$.key' END
             FROM ledger WHERE kind = 'checkpoint_key_set' ORDER BY seq",
        )?
        .query_map([], |row| row.try_into())?
        .collect::<rusqlite::Result<_>>()?;
    Ok(keys.into_iter().filter_map(|(seq, key)| Some((seq, key?.parse().ok()?))).collect())
}

/// At most `limit` records after number `after`, in order.
pub(super) fn records(conn: &Connection, after: u64, limit: u32) -> rusqlite::Result<Vec<Record>> {
    conn.prepare_cached("SELECT * FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?")?
        .query_map(params![after, limit], Record::from_row)?
        .collect()
}

/// Asked at each rotation. Without the plus the planner would go through all keys that the target ever had, for their order.
const PAST_KEY: &str = "SELECT id, not_before, first_seen, last_seen, how FROM key
    WHERE target = ? AND id = ? AND replaced_at IS NOT NULL ORDER BY +came_seq DESC LIMIT 1";

/// When a key was last in use by the target before its present one.
pub(super) fn past_key(conn: &Connection, target: &TargetId, key: &KeyId) -> rusqlite::Result<Option<KeyRecord>> {
    conn.prepare_cached(PAST_KEY)?
        .query_row([target.as_str(), key.as_str()], |row| {
            Ok(KeyRecord {
                id: key_id(row, "id")?,
                not_before: row.time("not_before")?,
                first_seen: row.get::<_, Micros>("first_seen")?.0,
                last_seen: row.get::<_, Micros>("last_seen")?.0,
                came: row.get::<_, Word<_>>("how")?.0,
            })
        })
        .optional()
}

/// The whole fleet, as of one moment if the caller holds a transaction.
pub(super) fn fleet(conn: &Connection) -> rusqlite::Result<Fleet> {
    Ok(Fleet {
        targets: targets(conn)?,
        managers: managers(conn)?,
        alerts: alerts(conn)?,
        policies: policies(conn)?,
        pauses: pauses(conn)?,
        freezes: freezes(conn)?,
        receivers: receivers(conn)?,
        api_keys: api_keys(conn)?,
        clock_step: clock_step(conn)?,
    })
}

fn clock_step(conn: &Connection) -> rusqlite::Result<Option<ClockStep>> {
    conn.prepare_cached(
        "SELECT at, payload ->> '$.by_s' AS by_s FROM ledger WHERE kind = 'clock_stepped' ORDER BY seq DESC LIMIT 1",
    )?
    .query_row([], |row| Ok(ClockStep { at: row.get::<_, Micros>("at")?.0, by_s: row.get("by_s")? }))
    .optional()
}

fn targets(conn: &Connection) -> rusqlite::Result<BTreeMap<TargetId, Arc<TargetRecord>>> {
    // Those of one project, which stand together, share its id and their manager's name.
    let mut shared: Option<(ManagerName, ProjectId)> = None;
    conn.prepare(
        "SELECT target.*, state, due_at, key_before, looked_at, intended_at, sent_at, accepted_at, failure, key.how AS key_came
         FROM target LEFT JOIN rotation ON rotation.target = target.id AND rotation.ended_at IS NULL
         LEFT JOIN key ON key.target = target.id AND key.replaced_at IS NULL",
    )?
    .query_map([], |row| {
        let mut record = target(row)?;
        let names = (record.target.manager, record.target.project_id);
        let names = shared.take().filter(|shared| *shared == names).unwrap_or(names);
        (record.target.manager, record.target.project_id) = names.clone();
        shared = Some(names);
        Ok((TargetId::new(row.get::<_, String>("id")?), Arc::new(record)))
    })?
    .collect()
}

fn target(row: &Row<'_>) -> rusqlite::Result<TargetRecord> {
    Ok(TargetRecord {
        target: Target {
            manager: ManagerName::new(row.get::<_, String>("manager")?),
            project_id: ProjectId::new(row.get::<_, String>("project_id")?),
            project: row.get("project")?,
            cluster_id: ClusterId::new(row.get::<_, String>("cluster_id")?),
            cluster: row.get("cluster")?,
            replica_set: row.get("replica_set")?,
            role: row.get::<_, Word<_>>("role")?.0,
            mechanism: row.get::<_, Word<_>>("mechanism")?.0,
        },
        listing: row.get::<_, Json<_>>("listing")?.0,
        found_at: row.get::<_, Micros>("found_at")?.0,
        gone_since: row.time("gone_since")?,
        governance: governance(row)?,
        refusal: row.json("refusal")?,
        key: key(row)?,
        regressed_at: row.time("regressed_at")?,
        unread: trouble(row, "unread_since", "unread")?.map(Box::new),
        slot: row.get("slot")?,
        attempt: row.get("attempt")?,
        failures: row.get("failures")?,
        rotation: rotation(row)?.map(Box::new),
        unconfirmed: row.json("unconfirmed")?,
        setback: row.json("setback")?.zip(row.time("retry_at")?),
        missed_until: row.time("missed_until")?,
        held_until: row.time("held_until")?,
        quarantine: trouble(row, "quarantined_since", "quarantine")?.map(Box::new),
        request: row.json("request")?,
        last_rotation_at: row.time("last_rotation_at")?,
    })
}

fn trouble(row: &Row<'_>, since: &str, failure: &str) -> rusqlite::Result<Option<Trouble>> {
    Ok(row.time(since)?.zip(row.json(failure)?).map(|(since, failure)| Trouble { since, failure }))
}

fn governance(row: &Row<'_>) -> rusqlite::Result<Option<Governance>> {
    let alert_after = row.get::<_, Option<u64>>("alert_after")?.and_then(Period::from_secs);
    let governing = row.get::<_, Option<String>>("policy")?.zip(alert_after);
    Ok(governing.map(|(policy, alert_after)| Governance { policy: PolicyName::new(policy), alert_after }))
}

fn key(row: &Row<'_>) -> rusqlite::Result<Option<KeyRecord>> {
    let Some(id) = row.get::<_, Option<String>>("key_id")? else { return Ok(None) };
    Ok(Some(KeyRecord {
        id: KeyId::new(id),
        not_before: row.time("key_not_before")?,
        first_seen: row.get::<_, Micros>("key_first_seen")?.0,
        last_seen: row.get::<_, Micros>("key_last_seen")?.0,
        // A row that is missing is for the verification to tell; the daemon can work.
        came: row.get::<_, Option<Word<_>>>("key_came")?.map_or(KeyOrigin::FirstSeen, |Word(came)| came),
    }))
}

fn rotation(row: &Row<'_>) -> rusqlite::Result<Option<Rotation>> {
    let Some(Word(state)) = row.get::<_, Option<Word<State>>>("state")? else { return Ok(None) };
    let phase = match state {
        State::Intended => Phase::Intended,
        State::Sending => Phase::Sending { since: row.get::<_, Micros>("sent_at")?.0, lost: row.json("failure")? },
        State::Confirming => Phase::Confirming {
            sent_at: row.get::<_, Micros>("sent_at")?.0,
            since: row.get::<_, Micros>("accepted_at")?.0,
        },
        State::Done | State::Failed | State::Unconfirmed | State::Withdrawn => return Ok(None),
    };
    Ok(Some(Rotation {
        id: RotationId { slot: row.get("slot")?, attempt: row.get("attempt")? },
        due_at: row.get::<_, Micros>("due_at")?.0,
        key_before: key_id(row, "key_before")?,
        looked_at: row.get::<_, Micros>("looked_at")?.0,
        intended_at: row.get::<_, Micros>("intended_at")?.0,
        phase,
    }))
}

fn managers(conn: &Connection) -> rusqlite::Result<BTreeMap<ManagerName, ManagerRecord>> {
    let mut managers = conn
        .prepare("SELECT * FROM manager")?
        .query_map([], |row| {
            let record = ManagerRecord {
                outage: trouble(row, "failing_since", "failure")?,
                gaps: BTreeMap::new(),
                unread: BTreeMap::new(),
                key_lists: BTreeMap::new(),
                credential: row
                    .get::<_, Option<String>>("public_key")?
                    .zip(row.time("public_key_since")?)
                    .map(|(public_key, since)| Credential { public_key, since }),
            };
            Ok((ManagerName::new(row.get::<_, String>("name")?), record))
        })?
        .collect::<rusqlite::Result<BTreeMap<_, _>>>()?;
    let mut statement = conn.prepare("SELECT gap.*, ledger.at FROM gap JOIN ledger USING (seq)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let gap = Gap {
            project_id: ProjectId::new(row.get::<_, String>("project_id")?),
            project: row.get("project")?,
            cluster: row.get("cluster")?,
        };
        let manager = managers.entry(ManagerName::new(row.get::<_, String>("manager")?)).or_default();
        manager.gaps.insert(gap, row.get::<_, Micros>("at")?.0);
    }
    let mut statement = conn.prepare("SELECT * FROM unread_project")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let manager = managers.entry(ManagerName::new(row.get::<_, String>("manager")?)).or_default();
        let Some(trouble) = trouble(row, "since", "failure")? else { continue };
        manager.unread.insert(row.get("project")?, trouble);
    }
    let mut statement = conn.prepare("SELECT * FROM api_key_list")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let manager = managers.entry(ManagerName::new(row.get::<_, String>("manager")?)).or_default();
        let unread = trouble(row, "unread_since", "failure")?;
        manager.key_lists.insert(row.get::<_, Json<_>>("list")?.0, unread);
    }
    Ok(managers)
}

fn api_keys(conn: &Connection) -> rusqlite::Result<BTreeMap<(ManagerName, ApiKeyId), Arc<ApiKeyRecord>>> {
    conn.prepare("SELECT * FROM api_key")?
        .query_map([], |row| {
            let id = ApiKeyId::new(row.get::<_, String>("id")?);
            let record = ApiKeyRecord {
                key: ApiKey {
                    id: id.clone(),
                    public_key: row.get("public_key")?,
                    description: row.get("description")?,
                    grants: row.get::<_, Json<_>>("grants")?.0,
                    lists: row.get::<_, Json<_>>("lists")?.0,
                },
                first_seen: row.get::<_, Micros>("first_seen")?.0,
                empowered_at: row.time("empowered_at")?,
            };
            Ok(((ManagerName::new(row.get::<_, String>("manager")?), id), Arc::new(record)))
        })?
        .collect()
}

fn alerts(conn: &Connection) -> rusqlite::Result<BTreeMap<(AlertKind, AlertSubject), jiff::Timestamp>> {
    conn.prepare("SELECT * FROM alert")?
        .query_map([], |row| Ok((alert(row)?, row.get::<_, Micros>("since")?.0)))?
        .collect()
}

/// What identifies the alert of a row.
fn alert(row: &Row<'_>) -> rusqlite::Result<(AlertKind, AlertSubject)> {
    let kind: String = row.get("subject_kind")?;
    let subject = AlertSubject::from_parts(&kind, row.get("subject")?)
        .ok_or_else(|| FromSqlError::Other(format!("this version knows no alert about a {kind}").into()))?;
    Ok((row.get::<_, Word<_>>("alert")?.0, subject))
}

fn receivers(conn: &Connection) -> rusqlite::Result<BTreeMap<ReceiverName, Arc<ReceiverRecord>>> {
    let mut told: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
    let mut statement = conn.prepare("SELECT * FROM told")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let saying = Told { since: row.get::<_, Micros>("since")?.0, name: row.get("name")? };
        told.entry(row.get("receiver")?).or_default().insert(alert(row)?, saying);
    }
    conn.prepare("SELECT * FROM receiver")?
        .query_map([], |row| {
            let name: String = row.get("name")?;
            let failing = row.time("failing_since")?.zip(row.get("error")?);
            let record = ReceiverRecord { failing, told: told.remove(&name).unwrap_or_default() };
            Ok((ReceiverName::new(name), Arc::new(record)))
        })?
        .collect()
}

fn policies(conn: &Connection) -> rusqlite::Result<BTreeMap<PolicyName, String>> {
    conn.prepare("SELECT name, words FROM policy")?
        .query_map([], |row| Ok((PolicyName::new(row.get::<_, String>("name")?), row.get("words")?)))?
        .collect()
}

fn pauses(conn: &Connection) -> rusqlite::Result<BTreeMap<String, Pause>> {
    conn.prepare("SELECT * FROM pause")?
        .query_map([], |row| {
            let pause = Pause {
                since: row.get::<_, Micros>("since")?.0,
                until: row.get::<_, Micros>("until")?.0,
                reason: row.get("reason")?,
                by: row.get::<_, Json<_>>("caller")?.0,
            };
            Ok((row.get("scope")?, pause))
        })?
        .collect()
}

fn freezes(conn: &Connection) -> rusqlite::Result<BTreeMap<String, OrderedFreeze>> {
    conn.prepare("SELECT * FROM freeze")?
        .query_map([], |row| {
            let name: String = row.get("name")?;
            let (start, end) = (row.get::<_, Micros>("begins_at")?.0, row.get::<_, Micros>("ends_at")?.0);
            let scope = Glob::new(&row.get::<_, String>("scope")?);
            let ordered = OrderedFreeze {
                freeze: Freeze { name: name.clone(), reason: row.get("reason")?, span: Span { start, end }, scope },
                ordered_at: row.get::<_, Micros>("ordered_at")?.0,
                by: row.get::<_, Json<_>>("caller")?.0,
                ended: row.get("ended")?,
            };
            Ok((name, ordered))
        })?
        .collect()
}

fn key_id(row: &Row<'_>, column: &str) -> rusqlite::Result<KeyId> {
    row.get::<_, String>(column).map(KeyId::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    /// Promise: what is asked at each rotation does not take longer the more keys a target has had.
    #[test]
    fn a_past_key_is_looked_up_by_its_id() {
        let conn = schema::connect_scratch().unwrap();
        let asked = format!("EXPLAIN QUERY PLAN {PAST_KEY}");
        let plan: String = conn.query_row(&asked, ["target", "key"], |row| row.get("detail")).unwrap();
        assert!(plan.contains("INDEX key_by_id (id=? AND target=?)"), "{plan}");
    }
}
