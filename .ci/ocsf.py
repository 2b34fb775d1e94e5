"""Events held against the schema of OCSF, which allows no member that it does not know."""

import json

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.8.0"

SCHEMA = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))
VALIDATORS = {}


def faults(event):
    """What is wrong with an event."""
    assert event["metadata"]["version"] == VERSION, event
    asked = event["class_uid"], tuple(event["metadata"].get("profiles", []))
    if asked not in VALIDATORS:
        name = SCHEMA.lookup_class_name_from_uid(asked[0])
        schema = SCHEMA.get_class_schema(class_name=name, profiles=list(asked[1]))
        VALIDATORS[asked] = Draft202012Validator(schema)
    return [fault.message for fault in VALIDATORS[asked].iter_errors(event)]


def check(where, events):
    """Holds events against the schema, and makes sure that it finds something."""
    for event in events:
        found = faults(event)
        assert not found, (where, found, json.dumps(event))
        assert faults(event | {"status_id": 77}), "a status that is none"
        assert faults(event | {"bogus": 1}), "a member that is none"
    classes = {event["class_uid"] for event in events}
    assert {3004, 6003} <= classes, (where, classes)
    assert {event["status"] for event in events if "status" in event} >= {"Success", "Failure"}
