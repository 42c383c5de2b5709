"""Reads the findings of a file, one a line, with the official parser, which refuses unknown fields and odd values."""

import json
import sys

from google.cloud import securitycenter_v2
from google.protobuf import json_format

Result = securitycenter_v2.ListFindingsResponse.ListFindingsResult
count = 0
with open(sys.argv[1], "rb") as lines:
    for count, line in enumerate(lines.read().split(b"\n"), 1):
        try:
            text = line.decode()
            parsed = json_format.Parse(text, Result()._pb)
            # A member that the parser took and dropped would be missing when it is written out again.
            again = json.loads(json_format.MessageToJson(parsed))
            written = json.loads(text)["finding"]
            missing = {name for name, value in written.items() if value} - set(again["finding"])
            if missing:
                raise ValueError(f"lost on the way: {missing}")
        except Exception as error:
            sys.exit(f"line {count}: {error}: {line!r}")
print(f"parsed {count} lines")
