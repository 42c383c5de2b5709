"""Checks the documents of a file, one a line, against the fields of the Elastic Common Schema (a table of names and types)."""

import datetime
import ipaddress
import json
import sys

OWN = "sensor_daemon"
ALLOWED = {
    "event.kind": {"alert"},
    "event.category": {"intrusion_detection", "process", "network"},
    "event.type": {"info"},
    "network.direction": {"ingress", "egress", "unknown"},
    "network.type": {"ipv4", "ipv6"},
}
DATES = {"@timestamp", "event.created", "event.start", "event.end", "process.start", "process.parent.start"}
ADDRESSES = {"host.ip", "related.ip", "source.ip", "destination.ip"}
TYPES = {
    "string": lambda value: isinstance(value, str),
    "strings": lambda value: isinstance(value, str)
    or isinstance(value, list) and value and all(isinstance(item, str) for item in value),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
}
with open(sys.argv[1]) as table:
    fields = dict(line.rstrip("\n").split("\t") for line in table if not line.startswith("#"))


def unique(pairs):
    """An object, in which no name comes twice."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"a name comes twice: {pairs}")
    return dict(pairs)


def check(name, value):
    """One field, or an object of fields."""
    if isinstance(value, dict) and name not in fields:
        if not value:
            raise ValueError(f"{name} is empty")
        for key, inner in value.items():
            check(f"{name}.{key}" if name else key, inner)
        return
    if name not in fields:
        raise ValueError(f"{name} is no field of the schema")
    if not TYPES[fields[name]](value):
        raise ValueError(f"{name} is no {fields[name]}: {value!r}")
    values = value if isinstance(value, list) else [value]
    if name in ALLOWED and not set(values) <= ALLOWED[name]:
        raise ValueError(f"{name} may not be {value!r}")
    for item in values:
        if name in DATES:
            datetime.datetime.strptime(item[:19] + item[-1], "%Y-%m-%dT%H:%M:%SZ")
        if name in ADDRESSES:
            ipaddress.ip_address(item)


count = 0
with open(sys.argv[2], "rb") as lines:
    for count, line in enumerate(lines.read().split(b"\n"), 1):
        try:
            document = json.loads(line.decode(), object_pairs_hook=unique)
            own = document.pop(OWN)
            if not isinstance(own, dict) or not own:
                raise ValueError(f"{OWN} is no object")
            check("", document)
            for name in ("@timestamp", "message", "ecs", "event"):
                document[name]
        except Exception as error:
            sys.exit(f"line {count}: {error!r}: {line!r}")
print(f"parsed {count} lines")
