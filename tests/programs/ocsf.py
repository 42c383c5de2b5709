"""Validates the events of a file, one a line, against the official schema of OCSF 1.8.0, which is closed."""

import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.8.0"
schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))
official = get_ocsf_schema(version=VERSION)
validators = {}


def unique(pairs):
    """An object, in which no name comes twice."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"a name comes twice: {pairs}")
    return dict(pairs)


def validator(event):
    """The schema of the event's class with the profiles that it says it has."""
    key = (event["class_uid"], tuple(event["metadata"]["profiles"]))
    if key not in validators:
        name = schema.lookup_class_name_from_uid(key[0])
        validators[key] = Draft202012Validator(schema.get_class_schema(name, list(key[1])))
    return validators[key]


def captions(event, attributes, where="event"):
    """Where the schema numbers a value, the text beside it has to be the schema's own."""
    for name, attribute in attributes.items():
        value = event.get(name)
        sibling = attribute.get("sibling")
        entry = attribute.get("enum", {}).get(str(value))
        if value is not None and sibling in event and entry and value != 99:
            if event[sibling].lower() != entry["caption"].lower():
                raise ValueError(f"{where}.{sibling} is {event[sibling]!r}, not {entry['caption']!r}")
        if "object_type" in attribute and attribute["object_type"] != "object":
            inner = official["objects"][attribute["object_type"]]["attributes"]
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    captions(item, inner, f"{where}.{name}")


count = 0
with open(sys.argv[1], "rb") as lines:
    for count, line in enumerate(lines.read().split(b"\n"), 1):
        try:
            event = json.loads(line.decode(), object_pairs_hook=unique)
            if event["metadata"]["version"] != VERSION or event["type_uid"] != 200400 + event["activity_id"]:
                raise ValueError("an odd version or type")
            errors = [f"{error.json_path}: {error.message}"[:500] for error in validator(event).iter_errors(event)]
            if errors:
                raise ValueError("; ".join(errors))
            captions(event, official["classes"]["detection_finding"]["attributes"])
        except Exception as error:
            sys.exit(f"line {count}: {error!r}: {line!r}")
print(f"parsed {count} lines")
