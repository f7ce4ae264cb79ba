#!/usr/bin/env python3
"""Verifies a ledger of rekeyd without rekeyd: a second opinion that shares no code with the first.

    verify.py rekeyd.db    [--checkpoints FILE] [--against FILE] [--key KEY] [--json]
    verify.py ledger.jsonl [--checkpoints FILE] [--against FILE] [--keys FILE] [--json]

The first form reads the database, beside a running daemon or without one; the second the slice of an evidence bundle.
What is checked, by the specification in rekeyd's ARCHITECTURE.md:

  - each record's hash, and that it continues the record before; of a slice, the first record's predecessor is trusted;
  - that every checkpoint names a record of this ledger with the hash that it has, and is signed (Ed25519) by a key that the
    ledger named before, or by one of --key and --keys; without the Python package `cryptography` signatures are said to be unchecked;
  - the heads in --against (checkpoints, or lines of a number and a hash; - is standard input), which you kept yourself;
  - of a database, that the tables target, rotation, key and policy follow from the records, row by row.

Exit status: 0 verified, 1 broken, 2 wrong usage. Needs Python 3.8 or later and nothing else.
"""

import argparse
import base64
import datetime
import hashlib
import json
import sqlite3
import struct
import sys

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None

SEQ, AT, KIND, ACTOR, TARGET, ROTATION, PAYLOAD, PREV_HASH, HASH = range(9)
COLUMNS = "seq, at, kind, actor, target, rotation, payload, prev_hash, hash"


class Broken(Exception):
    """The first record that does not hold, and why."""

    def __init__(self, seq, why):
        super().__init__(seq, why)
        self.seq, self.why = seq, why


# ---- the chain ----


def digest(record):
    """The hash that a record's other fields demand."""
    data = b"rekeyd-ledger-v1" + record[PREV_HASH] + struct.pack(">Qq", record[SEQ], record[AT])
    for text in record[KIND : PAYLOAD + 1]:
        text = text.encode()
        data += struct.pack(">I", len(text)) + text
    return hashlib.sha256(data).digest()


def walk(records, seq, prev, pins):
    """Yields each record that continues the chain behind record `seq` with the hash `prev`; holds it against `pins`."""
    held = seq
    for record in records:
        if seq is None:  # a slice: whatever it begins with
            seq, prev, held = record[SEQ] - 1, record[PREV_HASH], record[SEQ] - 1
        seq += 1
        if record[SEQ] != seq:
            raise Broken(seq, "is missing; %d follows on %d" % (record[SEQ], seq - 1))
        if record[PREV_HASH] != prev:
            raise Broken(seq, "does not continue the chain: prev_hash is not the hash of the one before")
        prev = record[HASH]
        if prev != digest(record):
            raise Broken(seq, "does not have the hash that its fields demand")
        for hash_, who in pins.pop(seq, []):
            if hash_ != prev:
                why = "is not the one of %s: from record %d on, the ledger was written anew"
                raise Broken(seq, why % (who, held + 1))
            held = seq
        yield record


# ---- checkpoints: C2SP tlog-checkpoint in a signed note ----


class Checkpoint:
    def __init__(self, lines, signatures):
        self.text = "".join(line + "\n" for line in lines)
        self.origin, self.seq, self.hash = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
        self.signatures = signatures


def checkpoints_in(text):
    """The signed notes that stand one after another in a text."""
    found, body, signatures = [], [], []
    for line in text.split("\n"):
        if line.startswith("\u2014 ") and body:
            name, signature = line[2:].split(" ")
            signatures.append((name, base64.b64decode(signature, validate=True)))
        elif signatures:
            found.append(Checkpoint(body, signatures))
            body, signatures = [line] if line else [], []
        elif line:
            body.append(line)
    return found


class Key:
    """A verifier key, `name+id+key`."""

    def __init__(self, text):
        self.name, id_, key = text.strip().split("+", 2)
        key = base64.b64decode(key, validate=True)
        self.id, self.public = bytes.fromhex(id_), key[1:]
        expected = hashlib.sha256(self.name.encode() + b"\n" + key).digest()[:4]
        if key[0] != 1 or len(key) != 33 or expected != self.id:
            raise ValueError("no verifier key of Ed25519: " + text)

    def signed(self, checkpoint):
        for name, signature in checkpoint.signatures:
            if (name, signature[:4]) == (self.name, self.id):
                try:
                    Ed25519PublicKey.from_public_bytes(self.public).verify(signature[4:], checkpoint.text.encode())
                    return True
                except InvalidSignature:
                    return False
        return False


def same_ledger(checkpoints, origin):
    foreign = [checkpoint.origin for checkpoint in checkpoints if checkpoint.origin != origin]
    if foreign:
        raise Broken(1, "belongs to another ledger: a checkpoint is of %s, and this is %s" % (foreign[0], origin))


def check_signatures(checkpoints, keys):
    """`keys` are pairs of a record's number, from which on the key may sign, and the key."""
    for checkpoint in checkpoints:
        if not any(seq <= checkpoint.seq and key.signed(checkpoint) for seq, key in keys):
            raise Broken(checkpoint.seq, "has a checkpoint that is not signed by a key that the ledger names")


def kept_in(text):
    """What an auditor kept: heads as pairs, or checkpoints."""
    try:
        lines = [line.split() for line in text.splitlines() if line.strip()]
        return [(int(seq), bytes.fromhex(hash_)) for seq, hash_ in lines], []
    except ValueError:
        return [], checkpoints_in(text)


# ---- the tables that follow from the records ----

STATES = {
    "rotation_intended": "intended",
    "rotation_sending": "sending",
    "rotation_reply_lost": "sending",
    "rotation_accepted": "confirming",
    "rotation_done": "done",
    "rotation_failed": "failed",
    "rotation_unconfirmed": "unconfirmed",
    "rotation_withdrawn": "withdrawn",
}
OPEN = ("intended", "sending", "confirming")
OF_TARGETS = set(STATES) | {
    "target_found", "target_changed", "target_gone", "target_returned", "target_refused", "target_readable",
    "target_quarantined", "target_rearmed", "key_seen", "key_changed", "key_redated", "observation_failing",
    "observation_recovered", "slot_missed", "slot_held", "rotation_requested",
}  # fmt: skip
OTHERS = {
    "daemon_started", "daemon_stopped", "ledger_recovered", "clock_stepped", "checkpoint_key_set", "policy_set",
    "manager_failing", "manager_answering", "project_unread", "project_read", "gap_found", "gap_closed",
    "alert_raised", "alert_cleared", "alerts_delivered", "receiver_failing", "receiver_answering", "receiver_dropped",
    "config_reloaded", "config_refused", "pause_set", "pause_ended", "freeze_set", "freeze_ended",
    "look_requested", "credential_used", "api_key_added", "api_key_removed", "api_key_roles_changed", "api_key_changed",
    "api_keys_read", "api_keys_unread",
}  # fmt: skip


def micros(text):
    """An instant of RFC 3339 as microseconds since 1970; nothing for nothing."""
    if text is None:
        return None
    whole, _, rest = text.rstrip("Z").partition(".")
    at = datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S") - datetime.datetime(1970, 1, 1)
    return (at.days * 86400 + at.seconds) * 10**6 + int(rest.ljust(6, "0")[:6])


class Tables:
    """What the records say that four of the tables must hold; times in microseconds."""

    def __init__(self):
        self.target, self.rotation, self.key, self.policy = {}, {}, {}, {}
        self.present = {}  # the row of the key that a target uses
        self.unknown = 0

    def take(self, record):
        seq, at, kind = record[SEQ], record[AT], record[KIND]
        data = json.loads(record[PAYLOAD])
        if kind not in OF_TARGETS and kind not in OTHERS:
            self.unknown += 1
        if kind == "policy_set":
            self.policy[(data["policy"],)] = {"words": data["words"], "since": at, "seq": seq}
        if kind not in OF_TARGETS or self.unknown:
            return
        # The rotation first: whether one is open decides what a change of the key means.
        self.take_key(record, data)
        if kind in STATES:
            self.take_rotation(record, data)
        self.take_target(record, data)

    def take_rotation(self, record, data):
        seq, at, kind = record[SEQ], record[AT], record[KIND]
        slot, attempt = map(int, record[ROTATION].split("."))
        blank = dict.fromkeys(
            "how key_before key_after looked_at intended_at sent_at accepted_at accepted ended_at stage failure retry_at"
            " why".split()
        )
        blank.update(actor=record[ACTOR], began_at=at, due_at=micros(data.get("due_at")))
        row = self.rotation.setdefault((record[TARGET], slot, attempt), blank)
        row.update(state=STATES[kind], seq=seq)
        if kind == "rotation_intended":
            row.update(intended_at=at, key_before=data["key_before"], looked_at=micros(data["looked_at"]))
        elif kind == "rotation_sending":
            row.update(sent_at=at, failure=None)
            if "looked_at" in data:
                row.update(looked_at=micros(data["looked_at"]))
        elif kind == "rotation_reply_lost":
            row.update(failure=data["failure"])
        elif kind == "rotation_accepted":
            row.update(accepted_at=at, accepted=data["status"])
        elif kind == "rotation_done":
            row.update(how=data["how"], key_before=data["key_before"], key_after=data["key_after"], retry_at=None)
        elif kind == "rotation_withdrawn":
            row.update(why=data["why"])
        else:  # failed, unconfirmed
            row.update(failure=data["failure"], retry_at=micros(data["retry_at"]))
            if kind == "rotation_failed":
                row.update(stage=data["stage"])
        if row["state"] not in OPEN:
            row.update(ended_at=at)

    def take_key(self, record, data):
        seq, at, kind, target = record[SEQ], record[AT], record[KIND], record[TARGET]
        new = {"replaced_at": None, "rotation": None, "last_seen": at, "first_seen": at, "not_before": None, "seq": seq}
        if kind == "key_seen":
            new.update(id=data["key"], how="first_seen")
        elif kind == "key_changed":
            first_seen = micros(data["first_seen"])
            new.update(id=data["after"], how=data["change"], first_seen=first_seen)
            if data["not_before"] is not None:
                new.update(not_before=min(micros(data["not_before"]), first_seen))
        elif kind == "rotation_done":
            new.update(id=data["key_after"], how=data["how"], rotation=record[ROTATION])
            new.update(not_before=min(micros(data["last_seen"]), at))
        elif kind == "key_redated":
            dates = {"not_before": micros(data["not_before"]), "first_seen": micros(data["first_seen"])}
            row, came = self.target[(target,)], self.present[target]["first_seen"]
            if row["last_rotation_at"] is not None:
                # The newest rotation made this key still, or was done before it came.
                earlier = row["last_rotation_at"] != came
                row["last_rotation_at"] = min(row["last_rotation_at"], dates["first_seen"] - earlier)
            self.present[target].update(dates, seq=seq)
            return
        else:
            return
        if kind != "key_seen" and target in self.present:
            self.present[target].update(replaced_at=at, last_seen=micros(data["last_seen"]), seq=seq)
        self.key[(target, seq)] = self.present[target] = new

    def take_target(self, record, data):
        seq, at, kind = record[SEQ], record[AT], record[KIND]
        row = self.target.setdefault(
            (record[TARGET],),
            {"gone_since": None, "key_id": None, "slot": 1, "last_rotation_at": None, "quarantined_since": None},
        )
        row["seq"] = seq
        if kind in ("target_found", "target_changed"):
            about = data["description"]
            row.update(about, listing=data["listing"], gone_since=None)
            row["name"] = "/".join(about[part] for part in ("manager", "project", "cluster", "replica_set"))
            if kind == "target_found":
                row["found_at"] = at
        elif kind in ("target_gone", "target_returned"):
            row["gone_since"] = at if kind == "target_gone" else None
        elif kind == "target_quarantined":
            row["quarantined_since"] = at
        elif kind == "target_rearmed":
            row["quarantined_since"] = None
        elif kind == "rotation_done":
            row.update(last_rotation_at=at, quarantined_since=None)
            row["slot"] += 1
        elif kind == "key_changed":
            held = any(key[0] == record[TARGET] and row["state"] in OPEN for key, row in self.rotation.items())
            row["slot"] += not held
        if record[TARGET] in self.present:
            row["key_id"] = self.present[record[TARGET]]["id"]

    def compare(self, db):
        for table, keys, wanted in (
            ("target", ["id"], self.target),
            ("rotation", ["target", "slot", "attempt"], self.rotation),
            ("key", ["target", "came_seq"], self.key),
            ("policy", ["name"], self.policy),
        ):
            cursor = db.execute("SELECT * FROM " + table)
            names = [column[0] for column in cursor.description]
            rows = (dict(zip(names, row)) for row in cursor)
            found = {tuple(row[key] for key in keys): row for row in rows}
            for key in sorted(found.keys() | wanted.keys()):
                where = "table %s, row %s" % (table, " ".join(map(str, key)))
                if key not in wanted:
                    raise Broken(found[key]["seq"], where + ": no record made this row")
                if key not in found:
                    raise Broken(wanted[key]["seq"], where + ": the row is missing")
                for column, ought in wanted[key].items():
                    value = found[key][column]
                    if column in ("failure", "listing") and value is not None:
                        value = json.loads(value)
                    # When a present key was last seen is kept up to date without records.
                    untold = (table, column) == ("key", "last_seen") and wanted[key]["replaced_at"] is None
                    if value != ought and not untold:
                        why = "%s: %s is %s, the ledger says %s" % (where, column, value, ought)
                        raise Broken(wanted[key]["seq"], why)


# ---- the whole ----


def slice_of(path):
    """The records of a bundle's ledger.jsonl."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            one = json.loads(line)
            texts = [one[name] for name in ("kind", "actor", "target", "rotation", "payload")]
            yield (one["seq"], one["at_us"], *texts, bytes.fromhex(one["prev_hash"]), bytes.fromhex(one["hash"]))


def read(path):
    if path == "-":
        return sys.stdin.read()
    with open(path, encoding="utf-8") as file:
        return file.read()


def verify(args):
    with open(args.ledger, "rb") as file:
        is_database = file.read(16) == b"SQLite format 3\0"
    checkpoints = checkpoints_in(read(args.checkpoints)) if args.checkpoints else []
    heads = []
    if args.against:
        heads, more = kept_in(read(args.against))
        checkpoints += more
    pins = {}
    for seq, hash_ in heads:
        pins.setdefault(seq, []).append((hash_, "a head that was kept"))
    for checkpoint in checkpoints:
        pins.setdefault(checkpoint.seq, []).append((checkpoint.hash, "a signed checkpoint"))
    pins.pop(0, None)
    lines = read(args.keys).splitlines() if args.keys else []
    keys = [(0, Key(key)) for key in args.key + lines if key.strip()]

    db, seq, prev = None, None, None
    if is_database:
        db = sqlite3.connect("file:%s?mode=ro" % args.ledger, uri=True, isolation_level=None)
        db.execute("BEGIN")  # one moment, whatever a daemon does meanwhile
        seq, (prev,) = 0, db.execute("SELECT id FROM ledger_identity").fetchone()
        records = db.execute("SELECT %s FROM ledger ORDER BY seq" % COLUMNS)
    else:
        records = slice_of(args.ledger)
    tables, count, head = Tables(), 0, (seq or 0, prev or b"")
    if is_database:
        same_ledger(checkpoints, "rekeyd/ledger/" + prev.hex())
    for record in walk(records, seq, prev, pins):
        if count == 0 and record[SEQ] == 1:
            same_ledger(checkpoints, "rekeyd/ledger/" + record[PREV_HASH].hex())
        if record[KIND] == "checkpoint_key_set":
            keys.append((record[SEQ], Key(json.loads(record[PAYLOAD])["key"])))
        if is_database:
            tables.take(record)
        count, head = count + 1, (record[SEQ], record[HASH])
    if pins:
        last = max(pins)
        why = "is missing: %s names record %d, so the ledger's tail was cut off" % (pins[last][0][1], last)
        raise Broken(head[0] + 1, why)
    if Ed25519PublicKey is not None:
        check_signatures(checkpoints, keys)
    if is_database and not tables.unknown:
        tables.compare(db)
    if not checkpoints:
        signatures = "none"
    elif Ed25519PublicKey is None:
        signatures = "unchecked: the Python package cryptography is not installed"
    else:
        signatures = "good"
    return {
        "verified": True,
        "records": count,
        "head": {"seq": head[0], "hash": head[1].hex()},
        "checkpoints": len(checkpoints),
        "signatures": signatures,
        "tables": is_database and not tables.unknown,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ledger", help="rekeyd.db, or the ledger.jsonl of a bundle")
    parser.add_argument("--checkpoints", metavar="FILE", help="the checkpoint file")
    parser.add_argument("--against", metavar="FILE", help="what you kept yourself; - reads standard input")
    parser.add_argument("--key", action="append", default=[], help="a verifier key, name+id+key; may be repeated")
    parser.add_argument("--keys", metavar="FILE", help="verifier keys, one a line")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    try:
        said = verify(args)
    except Broken as broken:
        said = {"verified": False, "record": broken.seq, "why": broken.why}
    except (OSError, ValueError, sqlite3.Error) as error:
        sys.exit("cannot verify: %s" % error)
    if args.json:
        print(json.dumps(said))
    elif said["verified"]:
        tables = ", and the tables follow from them" if said["tables"] else ""
        print("verified %d records: every hash follows%s." % (said["records"], tables))
        print("head %(seq)d %(hash)s" % said["head"])
        print("%(checkpoints)d checkpoints agree; their signatures: %(signatures)s" % said)
    else:
        print("broken: record %(record)d: %(why)s" % said)
    sys.exit(0 if said["verified"] else 1)


if __name__ == "__main__":
    main()
