"""The same in Python, as people write it: requests and sqlite3, one session, connection and commit a rotation in each thread.

usage: loop.py URL USER KEY DATABASE THREADS, with paths on standard input; prints the seconds that the loop took.
"""

import queue
import sqlite3
import sys
import threading
import time

import requests
from requests.auth import HTTPDigestAuth

url, user, key, database, threads = *sys.argv[1:5], int(sys.argv[5])
paths = queue.SimpleQueue()
for line in sys.stdin:
    paths.put(line.strip())


def connect():
    # The faster one of the modes that survive a power cut.
    db = sqlite3.connect(database, timeout=60)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    return db


def work():
    db = connect()
    session = requests.Session()
    session.auth = HTTPDigestAuth(user, key)
    while True:
        try:
            path = paths.get_nowait()
        except queue.Empty:
            return
        session.put(url + path, json={}).raise_for_status()
        reply = session.get(url + path)
        reply.raise_for_status()
        db.execute("INSERT INTO history VALUES (?, ?, ?)", (time.time(), path, reply.text))
        db.commit()


db = connect()
db.execute("CREATE TABLE history (at REAL, path TEXT, reply TEXT)")
db.commit()
workers = [threading.Thread(target=work) for _ in range(threads)]
began = time.perf_counter()
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(time.perf_counter() - began)
