#!/usr/bin/env python3
"""Verifies a ledger of rekeyd without rekeyd: a second opinion that shares no code with the first.

    verify.py rekeyd.db    [--checkpoints FILE] [--against FILE] [--key KEY] [--keys FILE] [--json]
    verify.py ledger.jsonl [--checkpoints FILE] [--against FILE] [--key KEY] [--keys FILE] [--json]

The first form reads the database, beside a running daemon or without one; the second the slice of an evidence bundle.
What is checked, by the specification in rekeyd's ARCHITECTURE.md:

  - each record's hash, and that it continues the record before; of a slice, the first record's predecessor is trusted, each line
    has the fields of a record and no others, each once, `at` says the moment that was hashed, and `name` is one for each target,
    and the one of its description where the slice has that;
  - that every checkpoint names a record of this ledger with the hash that it has, and is signed (Ed25519) by the key that was
    in use there: a key is from the record that names it to the one that names another. Without --key and --keys that is all,
    and whoever wrote a ledger anew named a key of his own in it. With them only these keys are trusted, a database names them
    all, and one checkpoint at least is theirs; keep them elsewhere. The key in use before a slice is one of --key and --keys.
    With the Python package `cryptography` that takes less time;
  - the heads in --against (checkpoints, or lines of a number and a hash; - is standard input), which you kept yourself; of
    a slice only those of its records and of the one before it, the others are said to be outside of it;
  - of a database, that the tables target, rotation, key and policy follow from the records: every column of every row, but for
    when a key that is in use was last seen, which no record tells. `rekeyd audit verify` compares the other tables too;
  - of a slice, the files that SHA256SUMS beside it names. Nobody signs these: whoever alters a file can alter its sum. The sums
    of a bundle that is exported once more are the same. Files that lie beside them and are not named there are told;
  - of a database, what SQLite's own check of it finds, that what is read are tables and stored columns, and that the triggers
    are rekeyd's own.

One that came with a bundle is of whoever made the bundle. Use one that you got elsewhere, or whose SHA-256 you know.

Exit status: 0 verified, 1 broken or not to be read, 2 wrong usage, 3 verified but for the tables, since there are records of which
nobody here knows what they say: a later version wrote them, or a forger. Needs Python 3.8 or later and nothing else.
"""

import sys

# Python looks for modules beside the script that it runs, before anywhere else. Beside this one lies what came with a bundle: a
# forger's own `cryptography` would find every signature good. So nothing is imported from there, nor from the working folder.
if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]
import os

sys.path[:] = [path for path in sys.path if path and os.path.realpath(path) != os.path.realpath(os.curdir)]

import argparse
import base64
import datetime
import hashlib
import itertools
import json
import pathlib
import re
import sqlite3
import struct

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None

SEQ, AT, KIND, ACTOR, TARGET, ROTATION, PAYLOAD, PREV_HASH, HASH = range(9)
COLUMNS = "seq, at, kind, actor, target, rotation, payload, prev_hash, hash"
# The moments that a record can have, in microseconds since 1970.
FIRST_MOMENT, LAST_MOMENT = -377705023201000000, 253402207200999999
# So many records are read at a time.
PAGE = 10000


class Broken(Exception):
    """The first record that does not hold, if it is one, and why."""

    def __init__(self, seq, why):
        super().__init__(seq, why)
        self.seq, self.why = seq, why


def reading(seq, read, what):
    """What `read` makes of something of a record; a record that cannot be read is broken."""
    try:
        return read(what)
    except Broken:
        raise
    except Exception as error:
        raise Broken(seq, "cannot be read: %r" % error)


# ---- the chain ----


def digest(record):
    """The hash that a record's other fields demand; its texts are bytes."""
    data = b"rekeyd-ledger-v1" + record[PREV_HASH] + struct.pack(">Qq", record[SEQ], record[AT])
    for text in record[KIND : PAYLOAD + 1]:
        data += struct.pack(">I", len(text)) + text
    return hashlib.sha256(data).digest()


def decoded(record):
    """The record with its texts as such, and the hash that its fields demand."""
    if not FIRST_MOMENT <= record[AT] <= LAST_MOMENT:
        raise ValueError("no time: %d" % record[AT])
    texts = [text.decode() for text in record[KIND : PAYLOAD + 1]]
    return (*record[:KIND], *texts, *record[PREV_HASH:]), digest(record)


# Who says what a record's hash is: a pin is a hash and one of these.
OWN, KEPT_CHECKPOINT, KEPT_HEAD = "a signed checkpoint", "a checkpoint that was kept", "a head that was kept"


def walk(records, seq, prev, pins):
    """Yields each record that continues the chain behind record `seq` with the hash `prev`; holds it against `pins`."""
    for hash_, who in pins.pop(seq, []):
        if hash_ != prev:
            raise Broken(seq + 1, "does not continue the one of %s: what came before it was written anew" % who)
    held = seq
    for record in records:
        if record[SEQ] < 1:
            raise Broken(0, "belongs to no chain: a record of number %d stands before the first" % record[SEQ])
        seq += 1
        if record[SEQ] != seq:
            raise Broken(seq, "is missing; %d follows on %d" % (record[SEQ], seq - 1))
        record, demanded = reading(seq, decoded, record)
        if record[PREV_HASH] != prev:
            raise Broken(seq, "does not continue the chain: prev_hash is not the hash of the one before")
        prev = record[HASH]
        if prev != demanded:
            raise Broken(seq, "does not have the hash that its fields demand")
        for hash_, who in pins.pop(seq, []):
            if hash_ != prev:
                why = "is not the one of %s: from record %d on, the ledger was written anew"
                raise Broken(seq, why % (who, held + 1))
            held = seq
        yield record


def outside(pins, last, is_database):
    """The records of the pins that are left behind record `last`. A slice is not all: what was kept may be of others."""
    missing = [(seq, who) for seq in pins for _, who in pins[seq] if is_database or who == OWN]
    if not missing:
        return sorted(pins)
    seq, who = max(missing)
    if seq < last:
        raise Broken(seq, "is missing: %s names it, and the slice begins after it" % who)
    raise Broken(last + 1, "is missing: %s names record %d, so the ledger's tail was cut off" % (who, seq))


# ---- Ed25519 (RFC 8032, section 5.1): some milliseconds for a signature; the package takes a hundredth of it ----

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE = -121665 * pow(121666, FIELD - 2, FIELD) % FIELD
ROOT_OF_MINUS_ONE = pow(2, (FIELD - 1) // 4, FIELD)
NEUTRAL = (0, 1, 1, 0)


def add_points(one, other):
    """The sum of two points (X, Y, Z, T), where x = X / Z, y = Y / Z and x * y = T / Z."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % FIELD
    b = (one[1] + one[0]) * (other[1] + other[0]) % FIELD
    c, d = 2 * one[3] * other[3] * CURVE % FIELD, 2 * one[2] * other[2] % FIELD
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % FIELD, g * h % FIELD, f * g % FIELD, e * h % FIELD


def multiple(number, point):
    """The sum of so many of a point."""
    total = NEUTRAL
    while number:
        if number & 1:
            total = add_points(total, point)
        point, number = add_points(point, point), number >> 1
    return total


def point_of(encoded):
    """The point that 32 bytes stand for; None if they stand for none."""
    y = int.from_bytes(encoded, "little")
    odd, y = y >> 255, y & 2**255 - 1
    if y >= FIELD:
        return None
    square = (y * y - 1) * pow(CURVE * y * y + 1, FIELD - 2, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if x * x % FIELD != square:
        x = x * ROOT_OF_MINUS_ONE % FIELD
    if x * x % FIELD != square or (x == 0 and odd):
        return None
    if x & 1 != odd:
        x = FIELD - x
    return x, y, 1, x * y % FIELD


BASE = point_of((4 * pow(5, FIELD - 2, FIELD) % FIELD).to_bytes(32, "little"))


def is_signature(signature, text, public):
    """Whether 64 bytes are the signature of a text, by the key of 32 bytes."""
    if len(signature) != 64:
        return False
    if Ed25519PublicKey:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
            return True
        except InvalidSignature:
            return False
    key, point, scalar = point_of(public), point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    if key is None or point is None or scalar >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + text).digest(), "little") % ORDER
    one, other = multiple(scalar, BASE), add_points(point, multiple(challenge, key))
    return all((one[axis] * other[2] - other[axis] * one[2]) % FIELD == 0 for axis in (0, 1))


# ---- checkpoints: C2SP tlog-checkpoint in a signed note ----


class Checkpoint:
    def __init__(self, lines, signatures):
        self.text = "".join(line + "\n" for line in lines)
        self.origin, self.seq, self.hash = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
        self.signatures = signatures


def checkpoints_in(text):
    """The signed notes that stand one after another in a text, and whether something is left at its end that is none."""
    found, body, signatures = [], [], []
    *lines, cut_off = text.split("\n")
    for number, line in enumerate(lines + [""], 1):
        try:
            if line.startswith("\u2014 ") and body:
                name, signature = line[2:].split(" ")
                signatures.append((name, base64.b64decode(signature, validate=True)))
            elif signatures:
                found.append(Checkpoint(body, signatures))
                body, signatures = [line] if line else [], []
            elif line:
                body.append(line)
        except (IndexError, ValueError):
            raise ValueError("what should be checkpoints is none up to line %d" % number)
    return found, bool(body or cut_off)


class Key:
    """A verifier key, `name+id+key`."""

    def __init__(self, text):
        self.text = text.strip()
        try:
            self.name, id_, key = self.text.split("+", 2)
            key = base64.b64decode(key, validate=True)
            self.id, self.public = bytes.fromhex(id_), key[1:]
        except ValueError:
            raise ValueError("no verifier key, name+id+key: %r" % text)
        expected = hashlib.sha256(self.name.encode() + b"\n" + key).digest()[:4]
        if key[:1] != b"\1" or len(key) != 33 or expected != self.id:
            raise ValueError("no verifier key of Ed25519: %r" % text)

    def signed(self, checkpoint):
        """Whether it did, by one line at least; nothing if the checkpoint does not claim so."""
        claimed = None
        for name, signature in checkpoint.signatures:
            if (name, signature[:4]) == (self.name, self.id):
                if is_signature(signature[4:], checkpoint.text.encode(), self.public):
                    return True
                claimed = False
        return claimed


def named_key(payload):
    return Key(json.loads(payload)["key"])


def same_ledger(checkpoints, origin):
    foreign = [checkpoint.origin for checkpoint in checkpoints if checkpoint.origin != origin]
    if foreign:
        raise Broken(1, "belongs to another ledger: a checkpoint is of %s, and this is %s" % (foreign[0], origin))


def check_signatures(checkpoints, named):
    """The keys that signed, each with the record that names it and the records of its checkpoints.

    `named` are pairs of a record's number and the keys that it names. A key may sign from there on, and last the checkpoint of
    the record that names others. Number 0 has the keys that may have been in use before a slice.
    """
    signers = {}
    ends = [seq for seq, _ in named[1:]] + [float("inf")]
    for checkpoint in checkpoints:
        seq = checkpoint.seq
        did = [(since, end, key) for (since, keys), end in zip(named, ends) for key in keys if key.signed(checkpoint)]
        in_use = [(since, key) for since, end, key in did if since <= seq <= end]
        if in_use:
            since, key = in_use[-1]
            signers.setdefault(key.text, (since, []))[1].append(seq)
        elif did and did[0][0] > seq:
            raise Broken(seq, "has a checkpoint that is signed by a key which only record %d names" % did[0][0])
        elif did:
            raise Broken(seq, "has a checkpoint that is signed by a key whose successor was named before")
        else:
            claimed = any(key.signed(checkpoint) is False for _, keys in named for key in keys)
            if claimed or not named or named[0][0] > 0 or seq > ends[0]:
                raise Broken(seq, "has a checkpoint that is not signed by a key that the ledger names")
            # Of a slice: by a key from before it that nobody gave.
    return signers


def keys_of(args):
    """The keys that are trusted."""
    lines = [] if args.keys is None else [line for line in read(args.keys).splitlines() if line.strip()]
    if args.keys is not None and not lines:
        raise ValueError("%s holds no key" % args.keys)
    return [Key(key) for key in args.key + lines]


def head_in(line):
    """A record's number and hash, as `rekeyd audit head` prints them."""
    seq, hash_ = line.split()
    if not seq.isdigit() or len(hash_) != 64:
        raise ValueError("no number and hash: " + line)
    return int(seq), bytes.fromhex(hash_)


def kept_in(text):
    """What an auditor kept: heads as pairs, or checkpoints. All of it is understood, or nothing is."""
    try:
        heads, checkpoints = [head_in(line) for line in text.splitlines() if line.strip()], []
    except ValueError:
        # Copied by hand, the last line may have lost its end.
        heads, (checkpoints, more) = [], checkpoints_in(text.rstrip("\n") + "\n")
        if more:
            raise ValueError("what was kept ends with something that is no checkpoint")
    if not heads and not checkpoints:
        raise ValueError("what was kept is empty: neither a checkpoint nor a line of a record's number and hash")
    return heads, checkpoints


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
# What payloads hold. First every kind of record with its fields, then the parts that these have. A field has the shape that
# stands behind its colon, or the one of its own name, or is a text. `?` marks one that may be missing or null, `-` one that may
# be missing, `*` a list.
FIELDS = """
daemon_started version pid:u32 host
daemon_stopped parked:u64
ledger_recovered since:time error
clock_stepped by_s:i64
policy_set policy words
config_reloaded changes:text* by?
config_refused error by?
pause_set scope until:time reason by
pause_ended scope reason? by?
freeze_set name scope start:time end:time reason by
freeze_ended name reason? by?
look_requested scope targets:u64 reason by
checkpoint_key_set key
target_found description listing
target_changed description listing
target_gone target listings:u32
target_returned target
target_governed target governance?
target_refused target refusal
target_readable target
key_seen target key looked_at:time?
key_changed target change before after last_seen:time not_before:time? first_seen:time looked_at:time? suspect:rotation?
key_redated target not_before:time? first_seen:time
observation_failing target failure
observation_recovered target
rotation_intended target rotation due_at:time key_before looked_at:time
rotation_sending target rotation looked_at:time?
rotation_accepted target rotation status:u16
rotation_reply_lost target rotation failure
rotation_done target rotation due_at:time how key_before key_after last_seen:time looked_at:time?
rotation_failed target rotation due_at:time stage failure retry_at:time
rotation_unconfirmed target rotation failure retry_at:time
rotation_withdrawn target rotation why
slot_missed target slot:u64 due_at:time windows:u32 opened_at:time closed_at:time why
slot_held target slot:u64 due_at:time freeze reason until:time
target_quarantined target attempts:u32 failure
target_rearmed target reason by?
rotation_requested target reason by overrides:yes-
manager_failing manager failure
manager_answering manager
project_unread manager project failure
project_read manager project
gap_found manager gap
gap_closed manager gap
api_key_added manager key:api_key baseline:yes
api_key_removed manager key:api_key
api_key_roles_changed manager key:api_key before:grant*
api_key_changed manager key:api_key
api_keys_read manager list:reach
api_keys_unread manager list:reach failure
credential_used manager public_key
alert_raised alert subject words
alert_cleared alert subject
alerts_delivered receiver firing:saying* resolved:saying*
receiver_failing receiver error
receiver_answering receiver
receiver_dropped receiver
"""
PARTS = """
line seq:u64 at at_us:i64 kind actor target name? rotation:text payload prev_hash hash
by uid:u32 gid:u32 pid:i32 user? login?
failure reason:cause verdict scope:whose status:u16? code? retry_after_s:u64? detail
description manager project_id project cluster_id cluster replica_set role mechanism
governance policy alert_after:period
gap project_id project cluster
api_key id public_key description:text grants:grant* lists:reach*
grant role:text over:reach
saying alert subject since:time name
with_code code
with_pattern pattern
with_status status
with_type type_name
"""
# A word, or one with what belongs to it.
WORDS = """
role replica_set shard config_server
mechanism backup_key
listing eligible no_backup not_encrypted backup_not_started:with_status excluded:with_pattern unknown_type:with_type
refusal other_mechanism:with_code not_encrypted:with_code
reach global organization:text project:text
subject target:text manager:text cluster:text project:text receiver:text api_key:text daemon
change foreign regression
how rotated found_changed recovered
stage precheck put
verdict transient permanent ambiguous not_this_way
whose target manager ourselves
cause unreachable tls timed_out cut_off credentials_refused role_missing address_refused refused not_found conflict rate_limited
 server_error unreadable not_this_way not_encrypted unchanged withheld
alert key_too_old rotation_overdue rotation_failing target_quarantined key_regression target_not_governed observation_stale
 manager_failing config_servers_missing project_unread ledger_unwritable key_will_be_too_old rotation_pending
 foreign_key_change credentials_refused scheduler_stalled receiver_failing api_key_new clock_stepped target_gone ledger_broken
 checkpoint_behind config_refused
"""
NUMBERS = {
    "u16": range(2**16), "u32": range(2**32), "u64": range(2**64), "i32": range(-(2**31), 2**31), "i64": range(-(2**63), 2**63),
}  # fmt: skip
ONE_FIELD = re.compile("([a-z0-9_]+):?([a-z0-9_]*[*]?)([?-]?)")
WHO = re.compile("daemon|schedule|uid:(0|[1-9][0-9]{0,9})")
TIME = re.compile("([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.]([0-9]{1,9}))?Z")
ROTATION_ID = re.compile("(0|[1-9][0-9]*)[.](0|[1-9][0-9]*)")
PERIOD = re.compile("[0-9]+[dhms]( [0-9]+[dhms])*")


def lines_of(table):
    """The first word of each line with the others. A line that begins with a space goes on with the one before."""
    return {name: rest for name, *rest in map(str.split, table.replace("\n ", " ").strip().splitlines())}


def fields_of(words):
    """Each field's name with its shape and its mark."""
    return {name: (shape or name, mark) for name, shape, mark in (ONE_FIELD.fullmatch(word).groups() for word in words)}


FIELDS, PARTS = ({name: fields_of(words) for name, words in lines_of(table).items()} for table in (FIELDS, PARTS))
WORDS = {name: dict(word.partition(":")[::2] for word in words) for name, words in lines_of(WORDS).items()}


def fits(value, shape):
    """Whether a value has a shape; an error says no as well."""
    if shape.endswith("*"):
        return isinstance(value, list) and all(fits(one, shape[:-1]) for one in value)
    if shape in NUMBERS:
        return type(value) is int and value in NUMBERS[shape]
    if shape == "yes":
        return isinstance(value, bool)
    if shape in PARTS:
        return has_fields(value, PARTS[shape])
    if shape in WORDS and isinstance(value, dict):
        ((word, held),) = value.items()
        return bool(WORDS[shape].get(word)) and fits(held, WORDS[shape][word])
    if shape in WORDS:
        return WORDS[shape].get(value) == ""
    return isinstance(value, str) and TEXTS.get(shape, str.encode)(value) is not None


def has_fields(value, fields):
    """Whether it is an object with these fields; others do no harm."""

    def has(name, shape, mark):
        if name not in value:
            return mark
        return mark == "?" and value[name] is None or fits(value[name], shape)

    return isinstance(value, dict) and all(has(name, *field) for name, field in fields.items())


def once(pairs):
    """An object of JSON. Of two values by one name each reader would take another."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


# What a text of JSON says. `NaN` and the like are none.
object_of = json.JSONDecoder(object_pairs_hook=once, parse_constant=int).decode


def parts(target, *names):
    """What a target's description says by these names, as one text."""
    return "/".join(target[name] for name in names)


def name_of(description):
    return parts(description, "manager", "project", "cluster", "replica_set")


def payload_of(record):
    """What a record says; nothing if nobody here knows."""
    actor = WHO.fullmatch(record[ACTOR])
    if record[KIND] not in FIELDS or not actor or int(actor[1] or 0) not in NUMBERS["u32"]:
        return None
    try:
        data = object_of(record[PAYLOAD])
        return data if has_fields(data, FIELDS[record[KIND]]) else None
    except (ValueError, TypeError, RecursionError):
        return None


def about(kind, data):
    """The target and the rotation that a record's payload is about, empty texts for none."""
    target, fields = "", FIELDS[kind]
    if "description" in fields:
        target = parts(data["description"], "manager", "project_id", "cluster_id")
    elif "subject" in fields:
        target = data["subject"].get("target", "") if data["subject"] != "daemon" else ""
    elif "target" in fields:
        target = data["target"]
    return target, data["rotation"] if "rotation" in fields else ""


EPOCH = datetime.datetime(1970, 1, 1)


def micros(text):
    """An instant of RFC 3339 as microseconds since 1970; nothing for nothing."""
    if text is None:
        return None
    found = TIME.fullmatch(text)
    if not found:
        raise ValueError("no time: %r" % text)
    *whole, rest = found.groups("")
    at = datetime.datetime(*map(int, whole)) - EPOCH
    return (at.days * 86400 + at.seconds) * 10**6 + int(rest.ljust(6, "0")[:6])


def instant(at):
    """The same the other way around, as rekeyd writes it."""
    text = (EPOCH + datetime.timedelta(microseconds=at)).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def value_of(text):
    """What a text of JSON says; itself if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


COMPARED = {"target": ["id"], "rotation": ["target", "slot", "attempt"], "key": ["target", "came_seq"], "policy": ["name"]}
JSON = {"listing", "refusal", "unread", "unconfirmed", "setback", "quarantine", "request", "failure"}
# The triggers that guard the ledger, as SHA-256 of their SQL in the order of their names: whoever adds one or changes one can keep
# records out from then on.
TRIGGERS = "4bb6d83935b5e1a542fa9a99123935d446253209adebf9c425d23c49d294ccf8"
# Columns of rotations that are made of another one, `failure`, and not compared.
OF_FAILURE = {"reason", "status", "code", "detail"}
# What of a target begins anew with each slot.
OF_SLOT = {
    "attempt": 0, "failures": 0, "setback": None, "retry_at": None, "request": None, "missed_until": None, "held_until": None,
}  # fmt: skip


def seconds(period):
    """A length of time as `2h 30m`, in seconds; nothing for nothing."""
    if period is None:
        return None
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    length = PERIOD.fullmatch(period) and sum(int(part[:-1]) * units[part[-1]] for part in period.split())
    if not length or length > 36500 * 86400:
        raise ValueError("no length of time: %r" % period)
    return length


def slot_and_attempt(rotation):
    """The two numbers that a rotation is called by."""
    found = ROTATION_ID.fullmatch(rotation)
    if not found or int(found[1]) not in NUMBERS["u64"] or int(found[2]) not in NUMBERS["u32"]:
        raise ValueError("no rotation: %r" % rotation)
    return int(found[1]), int(found[2])


# Texts that are of a form.
TEXTS = {"time": micros, "period": seconds, "rotation": slot_and_attempt}


class Tables:
    """What the records say that four of the tables must hold; times in microseconds."""

    def __init__(self):
        self.target, self.rotation, self.key, self.policy = {}, {}, {}, {}
        self.present = {}  # the row of the key that a target uses
        self.open = {}  # when the slot of a target's open rotation fell due
        self.unread, self.first_unread = 0, None

    def take(self, record):
        seq, at, kind, data = record[SEQ], record[AT], record[KIND], payload_of(record)
        if data is None:
            self.unread, self.first_unread = self.unread + 1, self.first_unread or seq
        if self.unread:  # nor what follows on it can be told
            return
        if about(kind, data) != (record[TARGET], record[ROTATION]):
            raise Broken(seq, "target or rotation is not the one in its payload")
        if kind == "policy_set":
            self.policy[(data["policy"],)] = {"words": data["words"], "since": at, "seq": seq}
        if not {"target", "description"}.isdisjoint(FIELDS[kind]):
            self.take_key(record, data)
            if kind in STATES:
                self.take_rotation(record, data)
            self.take_target(record, data)

    def take_rotation(self, record, data):
        seq, at, kind = record[SEQ], record[AT], record[KIND]
        slot, attempt = slot_and_attempt(record[ROTATION])
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
            if data.get("not_before") is not None:
                new.update(not_before=min(micros(data["not_before"]), first_seen))
        elif kind == "rotation_done":
            new.update(id=data["key_after"], how=data["how"], rotation=record[ROTATION])
            new.update(not_before=min(micros(data["last_seen"]), at))
        elif kind == "key_redated":
            dates = {"not_before": micros(data.get("not_before")), "first_seen": micros(data["first_seen"])}
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
        seq, at, kind, target = record[SEQ], record[AT], record[KIND], record[TARGET]
        names = "policy alert_after gone_since key_id key_not_before key_first_seen regressed_at unconfirmed"
        names += " last_rotation_at"
        healthy = {"refusal": None, "unread": None, "unread_since": None}
        free = {"quarantine": None, "quarantined_since": None}
        row = self.target.setdefault((target,), {**dict.fromkeys(names.split()), **healthy, **free, **OF_SLOT, "slot": 1})
        row["seq"] = seq
        if kind in ("target_found", "target_changed"):
            about = data["description"]
            row.update(about, listing=data["listing"], gone_since=None)
            row["name"] = name_of(about)
            row.setdefault("found_at", at)
        elif kind in ("target_gone", "target_returned"):
            row["gone_since"] = at if kind == "target_gone" else None
        elif kind == "target_governed":
            governance = data.get("governance") or {"policy": None, "alert_after": None}
            row.update(policy=governance["policy"], alert_after=seconds(governance["alert_after"]))
        elif kind == "target_refused":
            row.update(healthy, refusal=data["refusal"])
        elif kind == "target_readable":
            row["refusal"] = None
        elif kind == "observation_failing":
            row.update(unread=data["failure"], unread_since=at)
        elif kind == "observation_recovered":
            row.update(unread=None, unread_since=None)
        elif kind == "target_quarantined":
            row.update(quarantine=data["failure"], quarantined_since=at)
        elif kind == "target_rearmed":
            row.update(free, failures=0, setback=None, retry_at=None)
        elif kind == "rotation_requested":
            overrides = data.get("overrides", False)
            row.update(setback=None, retry_at=None)
            if row["request"] is None or overrides and not row["request"]["overrides"]:
                row["request"] = {"at": instant(at), "reason": data["reason"], "by": data["by"], "overrides": overrides}
        elif kind == "slot_missed" and data["slot"] == row["slot"]:
            row["missed_until"] = micros(data["closed_at"])
        elif kind == "slot_held" and data["slot"] == row["slot"]:
            row["held_until"] = micros(data["until"])
        elif kind in STATES:
            self.step_target(record, data, row)
        if kind == "key_changed":
            row["regressed_at"] = at if data["change"] == "regression" else None
            if target not in self.open:
                row.update(OF_SLOT, slot=row["slot"] + 1)
        if kind in ("key_seen", "key_changed", "rotation_done"):
            row.update(healthy)
        if target in self.present:
            key = self.present[target]
            row.update(key_id=key["id"], key_not_before=key["not_before"], key_first_seen=key["first_seen"])

    def step_target(self, record, data, row):
        at, kind, target = record[AT], record[KIND], record[TARGET]
        rotation, (slot, attempt) = record[ROTATION], record[ROTATION].split(".")
        if kind == "rotation_intended":
            self.open[target] = data["due_at"]
        due_at = self.open.get(target) if STATES[kind] in OPEN else self.open.pop(target, None)
        row["attempt"] = int(attempt)
        if kind in ("rotation_failed", "rotation_unconfirmed"):
            row["failures"] += kind == "rotation_unconfirmed" or data["failure"]["scope"] == "target"
            row.update(setback=data["failure"], retry_at=micros(data["retry_at"]))
        if kind == "rotation_unconfirmed":
            row["unconfirmed"] = {"rotation": rotation, "due_at": due_at}
        if kind == "rotation_done":
            # Of several attempts at the slot that were given up, another one may yet act.
            resting = (row["unconfirmed"] or {"rotation": "0.0"})["rotation"]
            if resting.split(".")[0] != slot or resting == rotation and attempt == "1":
                row["unconfirmed"] = None
            row.update(OF_SLOT, slot=row["slot"] + 1, regressed_at=None, last_rotation_at=at)
            row.update(quarantine=None, quarantined_since=None)

    def compare(self, db):
        for table, keys in COMPARED.items():
            wanted = getattr(self, table)
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
                    value = found[key].get(column)
                    if column in JSON and value is not None:
                        value = value_of(value)
                    # When a present key was last seen is kept up to date without records.
                    untold = (table, column) == ("key", "last_seen") and wanted[key]["replaced_at"] is None
                    if value != ought and not untold:
                        why = "%s: %s is %r, the ledger says %r" % (where, column, value, ought)
                        raise Broken(wanted[key]["seq"], why)


# ---- the whole ----


def opened(path):
    """The database, if all that is read of it is what is stored: a view, or a column that is computed, may tell each reader
    something else."""
    db = sqlite3.connect(pathlib.Path(path).resolve().as_uri() + "?mode=ro", uri=True, isolation_level=None)
    objects = db.execute("SELECT name, type, rootpage FROM sqlite_master").fetchall()
    for name, type_, page in objects:
        if type_ == "view" or type_ == "table" and not page:
            raise Broken(None, "%s is no table: nothing that is stored stands behind it alone" % name)
    for table in ("ledger", "ledger_identity", *COMPARED):
        if (table, "table") not in [(name, type_) for name, type_, _ in objects]:
            raise Broken(None, "there is no table %s" % table)
        for _, column, _, _, _, _, computed in db.execute("PRAGMA table_xinfo(%s)" % table):
            if computed and column not in OF_FAILURE:
                raise Broken(None, "column %s of table %s is computed, and not what was stored" % (column, table))
    return db


def records_of(db):
    """All records of a database in their order. They are read in pages, so that a working daemon's log can begin anew meanwhile.

    When there are no more the database is left at one moment, and what was written until then has been told.
    """
    sql, seq = "SELECT %s FROM ledger WHERE seq >= ? ORDER BY seq LIMIT %d" % (COLUMNS, PAGE), -(2**63)
    db.text_factory = bytes  # whatever stands there
    while True:
        page = db.execute(sql, (seq,)).fetchall()
        for record in page:
            yield record
            seq = record[SEQ] + 1
        if not page and db.in_transaction:
            return
        if not page:
            db.execute("BEGIN")


def from_line(line):
    """A record as a bundle has it, and the name of its target, which people read and no hash has."""
    one = object_of(line.decode())
    if one.keys() != PARTS["line"].keys() or not fits(one, "line"):
        raise ValueError("these are not the fields of a record")
    object_of(one["payload"])
    texts = [one[name].encode() for name in ("kind", "actor", "target", "rotation", "payload")]
    seq, at = one["seq"], one["at_us"]
    if one["at"] != instant(at):
        raise ValueError("at is %s, and %s was hashed" % (one["at"], instant(at)))
    return (seq, at, *texts, bytes.fromhex(one["prev_hash"]), bytes.fromhex(one["hash"])), one["name"]


def described_name(payload):
    return name_of(json.loads(payload)["description"])


def slice_of(path):
    """The records of a bundle's ledger.jsonl."""
    names, described, seq = {b"": (None, 0)}, {}, 0
    with open(path, "rb") as lines:
        for line in lines:
            record, name = reading(seq + 1, from_line, line)
            seq, target = record[SEQ], record[TARGET]
            if names.setdefault(target, (name, seq))[0] != name:
                raise Broken(seq, "tells another name of its target than the others do")
            yield record
            if record[KIND] in (b"target_found", b"target_changed"):
                described[target] = reading(seq, described_name, record[PAYLOAD])
    for target, name in described.items():
        if names[target][0] != name:
            raise Broken(names[target][1], "tells another name of its target than its description")


def check_sums(folder):
    """Holds the files of a bundle against their checksums. Returns how many there are, and what else lies there."""
    lines = read(os.path.join(folder, "SHA256SUMS")).splitlines()
    others = set(os.listdir(folder or os.curdir)) - {"SHA256SUMS"}
    for line in lines:
        sum_, _, name = line.partition("  ")
        others.discard(name)
        hash_ = hashlib.sha256()
        with open(os.path.join(folder, name), "rb") as file:
            for part in iter(lambda: file.read(1 << 20), b""):
                hash_.update(part)
        if hash_.hexdigest() != sum_:
            raise Broken(None, "%s is not the file that SHA256SUMS names" % name)
    return len(lines), sorted(others)


def read(path):
    """A text. What is no UTF-8 in it, as where a dash was cut off, is nothing that anyone signed."""
    if path == "-":
        return sys.stdin.buffer.read().decode(errors="replace")
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def verify(args):
    with open(args.ledger, "rb") as file:
        is_database = file.read(16) == b"SQLite format 3\0"
    # The daemon's own file may end with a checkpoint that a crash cut off.
    checkpoints, cut_off = ([], False) if args.checkpoints is None else checkpoints_in(read(args.checkpoints))
    heads, kept = ([], []) if args.against is None else kept_in(read(args.against))
    pins = {}
    for seq, hash_ in heads:
        pins.setdefault(seq, []).append((hash_, KEPT_HEAD))
    for who, ones in (OWN, checkpoints), (KEPT_CHECKPOINT, kept):
        for checkpoint in ones:
            pins.setdefault(checkpoint.seq, []).append((checkpoint.hash, who))
    checkpoints = checkpoints + kept
    trusted = keys_of(args)

    if is_database:
        db = opened(args.ledger)
        seq, (prev,) = 0, db.execute("SELECT id FROM ledger_identity").fetchone() or (bytes(32),)
        records = records_of(db)
    else:
        records = slice_of(args.ledger)
        first = list(itertools.islice(records, 1))
        seq, prev = (first[0][SEQ] - 1, first[0][PREV_HASH]) if first else (-1, b"")
        records = itertools.chain(first, records)
    if seq == 0:
        same_ledger(checkpoints, "rekeyd/ledger/" + prev.hex())
    named = [] if is_database else [(0, trusted)]
    tables, count, start, head = Tables(), 0, seq, (seq, prev)
    first_at = last_at = None
    for record in walk(records, seq, prev, pins):
        if record[KIND] == "checkpoint_key_set" and payload_of(record):
            named.append((record[SEQ], [reading(record[SEQ], named_key, record[PAYLOAD])]))
        if is_database:
            reading(record[SEQ], tables.take, record)
        count, head = count + 1, (record[SEQ], record[HASH])
        last_at = record[AT]
        first_at = last_at if first_at is None else first_at
    not_held = outside(pins, head[0], is_database)
    checkpoints = [checkpoint for checkpoint in checkpoints if checkpoint.seq not in not_held]
    signers = check_signatures(checkpoints, named)
    given = {key.text for key in trusted}
    vouched = [seq for key, (_, seqs) in signers.items() if key in given or not given for seq in seqs]
    if given and not vouched:
        if start < 0:
            raise Broken(None, "there is no record, so none is vouched for by a key that you trust")
        raise Broken(start + 1, "is not vouched for, nor is any after it: no checkpoint is by a key that you trust")
    unnamed = given - {key.text for _, keys in named for key in keys}
    if unnamed:  # by a former key's thief the chain may be written anew from before its successor
        raise Broken(head[0] + 1, "is missing: no record names %s, which you trust" % min(unnamed))
    folder, files, beside = os.path.dirname(args.ledger), 0, []
    if is_database:
        db.text_factory = lambda text: text.decode(errors="backslashreplace")
        if not tables.unread:
            tables.compare(db)
        (said,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if said != "ok":  # rows that an index leaves out are there, and answers that come by it lack them
            raise Broken(head[0], "is the newest of a database that SQLite finds damaged: " + said)
        triggers = db.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name").fetchall()
        if hashlib.sha256("\n".join(sql for sql, in triggers).encode()).hexdigest() != TRIGGERS:
            raise Broken(head[0], "is the newest of a database whose triggers are not those that rekeyd made")
    elif os.path.exists(os.path.join(folder, "SHA256SUMS")):
        files, beside = check_sums(folder)
    if not checkpoints:
        signatures = "none"
    elif len(vouched) == len(checkpoints):
        signatures = "good"
    else:
        others = "others than the keys that you trust" if given else "keys that are not known here; give them with --key"
        signatures = "%d good, %d by %s" % (len(vouched), len(checkpoints) - len(vouched), others)
    return {
        "verified": True,
        "records": count,
        "first_at": instant(first_at) if count else None,
        "last_at": instant(last_at) if count else None,
        "head": {"seq": max(head[0], 0), "hash": head[1].hex()},
        "checkpoints": len(checkpoints),
        "signatures": signatures,
        "keys": [
            {"key": key, "named": since or None, "checkpoints": len(seqs), "first": min(seqs), "newest": max(seqs), "trusted": key in given}
            for key, (since, seqs) in signers.items()
        ],
        "anchored": max(vouched + [seq for seq, _ in heads if seq not in not_held], default=None),
        "tables": list(COMPARED) if is_database and not tables.unread else [],
        "unread": tables.unread,
        "first_unread": tables.first_unread,
        "files": files,
        "beside": beside,
        "outside": not_held,
        "cut_off": cut_off,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ledger", help="rekeyd.db, or the ledger.jsonl of a bundle")
    parser.add_argument("--checkpoints", metavar="FILE", help="the checkpoint file")
    parser.add_argument("--against", metavar="FILE", help="what you kept yourself; - reads standard input")
    parser.add_argument("--key", action="append", default=[], help="trust this key alone, name+id+key; may be repeated")
    parser.add_argument("--keys", metavar="FILE", help="trust the keys in it alone, one a line")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        said = verify(args)
    except Broken as broken:
        said = {"verified": False, "record": broken.seq, "why": broken.why}
    except (OSError, ValueError, sqlite3.Error) as error:
        sys.exit("cannot verify: %s" % error)
    if args.json:
        print(json.dumps(said))
    elif said["verified"]:
        tables = ", and the rows of %s follow from them" % ", ".join(said["tables"]) if said["tables"] else ""
        reach = " from %(first_at)s to %(last_at)s" % said if said["records"] else ""
        print("verified %d records%s: every hash follows%s." % (said["records"], reach, tables))
        if said["unread"]:
            print("NOT compared: the tables, since %(unread)d records, the first %(first_unread)d, cannot be read here" % said)
        print("head %(seq)d %(hash)s" % said["head"])
        print("%(checkpoints)d checkpoints agree; their signatures: %(signatures)s" % said)
        for key in said["keys"]:
            named = ", named by record %(named)d" % key if key["named"] else ""
            trust = ", trusted" if key["trusted"] else ", NOT trusted" if args.key or args.keys else ""
            records = "of records %d to %d" % (key["first"], key["newest"])
            print("  %d, %s, by %s%s%s" % (key["checkpoints"], records, key["key"], named, trust))
        if said["anchored"] is not None:
            print("anchored up to record %(anchored)d" % said)
        if said["outside"]:
            numbers = ", ".join(map(str, said["outside"]))
            print("NOT checked, since outside of this slice: what was kept of the records %s" % numbers)
        if said["files"]:
            print("%(files)d files of the bundle have the checksums in SHA256SUMS, which nobody signs" % said)
        if said["beside"]:
            print("NOT of the bundle, by SHA256SUMS: " + ", ".join(map(repr, said["beside"])))
        if said["cut_off"]:
            print("the newest checkpoint was not written to its end, and is passed over")
    else:
        record = "" if said["record"] is None else "record %(record)d: " % said
        print("broken: %s%s" % (record, said["why"]))
    sys.exit(3 if said.get("unread") else 0 if said["verified"] else 1)


if __name__ == "__main__":
    main()
