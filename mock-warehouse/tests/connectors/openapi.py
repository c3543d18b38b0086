"""Holds answers of the mock warehouse against Snowflake's OpenAPI file of the SQL API.

openapi.py SQLAPI_YAML EXCHANGES_JSON. Each exchange: method, target, status, contentType, body. What the live service
does otherwise than the file says is listed in KNOWN; anything else fails, and so does an entry that never occurs.
"""

import collections
import copy
import json
import re
import sys
import urllib.parse
import uuid

import jsonschema
import yaml
from openapi_schema_validator import OAS30Validator

FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("uuid", raises=ValueError)
def is_uuid(text):
    return not isinstance(text, str) or str(uuid.UUID(text)) == text.lower()


@FORMATS.checks("uri")
def is_uri(text):
    """RFC 3986: a URI has a scheme; without one it is a relative reference."""
    return not isinstance(text, str) or bool(urllib.parse.urlsplit(text).scheme)


# Where the live service differs from its own file, as recorded: name, then whether a finding is that one. A finding is
# (status, code, place in the body, what the validator says). `byteLength` is null too, but the file does not have it.
KNOWN = {
    "null as precision, scale or length of a column": lambda f: f.status == 200
    and re.fullmatch(r"resultSetMetaData/rowType/\d+/(precision|scale|length)", f.place)
    and f.says.startswith("None "),
    "statementStatusUrl is relative": lambda f: f.place == "statementStatusUrl" and "is not a 'uri'" in f.says,
    "no statementHandle when nobody is let in (401; 400 with 390146 or 390186)": lambda f: (
        f.status == 401 or f.code in ("390146", "390186")
    )
    and f.says == "'statementHandle' is a required property",
    "no statementHandle when there are too many requests (429; nobody here has seen the live body)": lambda f: f.status == 429
    and f.says == "'statementHandle' is a required property",
    "no statementHandle in a run-time error of an async statement": lambda f: f.status == 422
    and f.code == "100051"
    and f.says == "'statementHandle' is a required property",
    "no statementHandle when the request itself is refused (400 with 390142, or by the servlet)": lambda f: f.status == 400
    and f.code in ("390142", None)
    and f.says == "'statementHandle' is a required property",
    "null as statementHandle of an empty statement": lambda f: f.code == "000900" and f.place == "statementHandle",
    "the parameter `retry` is not in the file": lambda f: f.place == "?retry",
}

Finding = collections.namedtuple("Finding", "status code place says")


class File:
    """Snowflake's file: which answers a request may have."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.document = yaml.safe_load(file)

    def operation(self, method, target):
        """The path item, and its operation, of a request."""
        path = urllib.parse.urlsplit(target).path
        for template, item in self.document["paths"].items():
            pattern = re.sub(r"\{\w+\}", "[^/]+", template)
            if re.fullmatch(pattern, path) and method.lower() in item:
                return item, item[method.lower()]
        raise SystemExit(f"{method} {target} is not in the file")

    def resolved(self, node):
        if "$ref" in node:
            *_, group, name = node["$ref"].split("/")
            return self.document["components"][group][name]
        return node

    def schema(self, response):
        """An error that the file gives no body is held against the one body of an error that it has."""
        content = self.resolved(response).get("content")
        if content is None:
            return {"$ref": "#/components/schemas/QueryFailureStatus"}
        return content["application/json"]["schema"]

    def findings(self, exchange):
        item, operation = self.operation(exchange["method"], exchange["target"])
        status, body = exchange["status"], exchange["body"]
        code = body.get("code")
        declared = {self.resolved(parameter)["name"] for parameter in item["parameters"]}
        query = urllib.parse.urlsplit(exchange["target"]).query
        for name in urllib.parse.parse_qs(query):
            if name not in declared:
                yield Finding(status, code, f"?{name}", "is not a parameter")
        response = operation["responses"].get(str(status))
        if response is None:
            yield Finding(status, code, "", "the file has no such status")
            return
        if not (exchange["contentType"] or "").startswith("application/json"):
            yield Finding(status, code, "", f"content type {exchange['contentType']}")
        schema = {**self.schema(response), "components": self.document["components"]}
        for error in OAS30Validator(schema, format_checker=FORMATS).iter_errors(body):
            # Of a null, this validator complains twice.
            if error.message != "None for not nullable":
                yield Finding(status, code, "/".join(map(str, error.absolute_path)), error.message)


def notices_what_is_wrong(file, exchanges):
    """The validator is alive: a good answer, spoilt, is no longer valid."""
    good = next(e for e in exchanges if e["status"] == 200 and e["body"].get("data"))
    spoilt = {
        "data": lambda body: body.update(data=[[1]]),
        "statementHandle": lambda body: body.update(statementHandle="x"),
        "rowType": lambda body: body["resultSetMetaData"].update(rowType=[]),
        "format": lambda body: body["resultSetMetaData"].update(format="json"),
        "createdOn": lambda body: body.update(createdOn="today"),
    }
    for member, spoil in spoilt.items():
        exchange = copy.deepcopy(good)
        spoil(exchange["body"])
        assert any(member in finding.place for finding in file.findings(exchange)), f"{member} is not looked at"


def main(specification, exchanges):
    file = File(specification)
    with open(exchanges, encoding="utf-8") as written:
        exchanges = json.load(written)
    notices_what_is_wrong(file, exchanges)
    known, unknown = collections.Counter(), []
    for exchange in exchanges:
        for finding in file.findings(exchange):
            names = [name for name, matches in KNOWN.items() if matches(finding)]
            known.update(names[:1])
            if not names:
                unknown.append(f"{exchange['method']} {exchange['target']}: {finding}")
    statuses = collections.Counter(exchange["status"] for exchange in exchanges)
    print(f"{len(exchanges)} responses checked against the OpenAPI file, by status: {dict(sorted(statuses.items()))}")
    for name in KNOWN:
        print(f"  known difference, {known[name]} times: {name}")
    never = [name for name in KNOWN if not known[name]]
    assert not unknown, "\n".join(["unknown differences:", *unknown[:20], f"{len(unknown)} in all"])
    assert not never, f"known differences that never occur: {never}"


main(*sys.argv[1:])
