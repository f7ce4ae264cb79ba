"""Reads an iCalendar file from standard input with the library icalendar, and writes what it holds as JSON."""

import json
import sys

from icalendar import Calendar

calendar = Calendar.from_ical(sys.stdin.buffer.read())
events = [
    {
        "uid": str(event["UID"]),
        "summary": str(event["SUMMARY"]),
        "description": str(event["DESCRIPTION"]),
        "start": event.decoded("DTSTART").strftime("%Y-%m-%dT%H:%M:%SZ"),
        "end": event.decoded("DTEND").strftime("%Y-%m-%dT%H:%M:%SZ"),
        "errors": event.errors,
    }
    for event in calendar.walk("VEVENT")
]
json.dump({"version": str(calendar["VERSION"]), "errors": calendar.errors, "events": events}, sys.stdout)
