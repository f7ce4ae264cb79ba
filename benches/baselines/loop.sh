#!/usr/bin/env bash
# What is written in an afternoon: for each path on standard input, rotates the key, reads it, and notes it down.
# usage: loop.sh URL USER:KEY DATABASE
set -euo pipefail
url=$1 login=$2 database=$3
sqlite3 "$database" 'CREATE TABLE history (at TEXT, path TEXT, reply TEXT)'
while read -r path; do
    curl -fsS --digest -u "$login" -X PUT -H 'Content-Type: application/json' -d '{}' -o /dev/null "$url$path"
    reply=$(curl -fsS --digest -u "$login" "$url$path")
    sqlite3 "$database" "INSERT INTO history VALUES (datetime('now'), '$path', '$reply')"
done
