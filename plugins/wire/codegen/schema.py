"""Reads schema files into messages, structs and fields.

A file is one API or some messages. Lines are words; `#` starts a comment; nesting is by two spaces.

    api NAME                      message NAME
    key NUMBER                    type NUMBER         (optional: the record type, a key's prefix)
    versions RANGE                versions RANGE
    flexible RANGE|none           flexible RANGE|none
    unstable VERSION (optional)   fields
    advertised_min N (optional)     FIELD...
    request
      FIELD...
    response
      FIELD...

    FIELD:  name TYPE [RANGE] [nullable RANGE] [tag N] [= DEFAULT] [ignorable]
    TYPE:   bool int8 int16 uint16 int32 int64 float64 uuid string bytes records Struct,
            after [] for an array, before ? where null is allowed in all versions of the field
    RANGE:  4   4-7   4+

A field of a Struct type is followed by the struct's fields, two spaces deeper, unless the section
ends with `struct NAME` and its fields: then several fields may use it. RANGE says in which versions
the field is there; without one it is there whenever its struct is.
"""

import dataclasses
import re

NO_VERSION = 32767
INTEGERS = {"int8": 1, "int16": 2, "uint16": 2, "int32": 4, "int64": 8}
FIXED = {**INTEGERS, "bool": 1, "float64": 8, "uuid": 16}
# Names of generated functions and of their parameters and locals.
RESERVED = {"decode", "element", "encode", "lengths", "other", "read", "reader", "tag",
            "tagged_count", "version", "write", "writer"}
WORDS = {"string", "bytes", "records"}


class SchemaError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Versions:
    first: int
    last: int

    @staticmethod
    def parse(text, last):
        match = re.fullmatch(r"(\d+)(?:-(\d+)|(\+))?", text)
        if not match:
            raise SchemaError(f"not a version range: {text}")
        first = int(match[1])
        return Versions(first, int(match[2]) if match[2] else last if match[3] else first)

    def __contains__(self, version):
        return self.first <= version <= self.last


@dataclasses.dataclass
class Field:
    name: str
    type: str  # without [] and ?
    is_array: bool
    versions: Versions
    nullable: Versions | None
    tag: int | None
    default: str | None
    ignorable: bool

    @property
    def is_struct(self):
        return self.type not in FIXED and self.type not in WORDS


@dataclasses.dataclass
class Struct:
    name: str
    fields: list
    versions: Versions  # where it is used; what conditions may take for granted


@dataclasses.dataclass
class Message:
    name: str
    kind: str  # request, response or record
    key: int | None  # API key or record type
    versions: Versions
    first_flexible: int
    root: Struct
    structs: list  # of the root's nested types, each after those it uses

    @property
    def borrows(self):
        """Requests are read and dropped with their frame; everything else owns what it holds."""
        return self.kind == "request"

    def struct(self, name):
        return next(s for s in self.structs if s.name == name)


@dataclasses.dataclass
class Api:
    name: str
    key: int
    versions: Versions
    first_flexible: int
    unstable: int | None
    advertised_min: int


class Parser:
    def __init__(self, path):
        self.path = path
        self.api = None
        self.messages = []
        self.lines = []
        with open(path, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                code = text.split("#")[0].rstrip()
                if code:
                    indent = len(code) - len(code.lstrip())
                    self.lines.append((number, indent, code.split()))
        self.at = 0

    def fail(self, text):
        number = self.lines[min(self.at, len(self.lines) - 1)][0]
        raise SchemaError(f"{self.path}:{number}: {text}")

    def parse(self):
        while self.at < len(self.lines):
            _, indent, words = self.lines[self.at]
            if indent != 0 or words[0] not in ("api", "message") or len(words) != 2:
                self.fail("expected 'api NAME' or 'message NAME'")
            self.at += 1
            self.parse_api(words[1]) if words[0] == "api" else self.parse_message(words[1])
        return self

    def settings(self):
        found = {}
        while self.at < len(self.lines):
            _, indent, words = self.lines[self.at]
            if indent != 0 or len(words) != 2:
                break
            found[words[0]] = words[1]
            self.at += 1
        if "versions" not in found or "flexible" not in found:
            self.fail("versions and flexible are needed")
        versions = Versions.parse(found["versions"], NO_VERSION)
        flexible = found["flexible"]
        first = NO_VERSION if flexible == "none" else int(flexible.removesuffix("+"))
        return found, versions, first

    def section(self, word):
        if self.at >= len(self.lines) or self.lines[self.at][1:] != (0, [word]):
            self.fail(f"expected '{word}'")
        self.at += 1

    def parse_api(self, name):
        found, versions, first = self.settings()
        key = int(found["key"])
        unstable = int(found["unstable"]) if "unstable" in found else None
        minimum = int(found.get("advertised_min", versions.first))
        self.api = Api(name, key, versions, first, unstable, minimum)
        for kind in ("request", "response"):
            self.section(kind)
            self.message(name + kind.capitalize(), kind, key, versions, first)

    def parse_message(self, name):
        found, versions, first = self.settings()
        key = int(found["type"]) if "type" in found else None
        self.section("fields")
        self.message(name, "record", key, versions, first)

    def message(self, name, kind, key, versions, first_flexible):
        structs = {}
        root = Struct(name, self.fields(2, versions, structs, versions), versions)
        while self.at < len(self.lines) and self.lines[self.at][2][0] == "struct":
            shared = self.lines[self.at][2][1]
            self.at += 1
            self.add(structs, Struct(shared, self.fields(4, versions, structs, versions), versions))
        ordered = []
        self.order(root, structs, ordered, set())
        if len(ordered) != len(structs) + 1:
            self.fail(f"{name}: a struct is not used")
        self.messages.append(
            Message(name, kind, key, versions, first_flexible, root, ordered[:-1]))

    def order(self, struct, structs, ordered, open_names):
        if struct.name in open_names:
            self.fail(f"{struct.name} contains itself")
        for field in struct.fields:
            if field.is_struct and field.type not in structs:
                self.fail(f"unknown type {field.type}")
            if field.is_struct and structs[field.type] not in ordered:
                self.order(structs[field.type], structs, ordered, open_names | {struct.name})
        ordered.append(struct)

    def add(self, structs, struct):
        if struct.name in structs:
            self.fail(f"struct {struct.name} is there twice")
        structs[struct.name] = struct

    def fields(self, indent, around, structs, message_versions):
        found = []
        while self.at < len(self.lines):
            _, here, words = self.lines[self.at]
            if here < indent or words[0] == "struct":
                break
            if here > indent:
                self.fail("indented too deep")
            field = self.field(words, around, message_versions)
            self.at += 1
            if self.at < len(self.lines) and self.lines[self.at][1] > indent:
                if not field.is_struct:
                    self.fail(f"{field.name} has fields and is no struct")
                inner = self.fields(indent + 2, field.versions, structs, message_versions)
                self.add(structs, Struct(field.type, inner, field.versions))
            found.append(field)
        return found

    def field(self, words, around, message_versions):
        name, type_text, *rest = words
        match = re.fullmatch(r"(\[\])?(\w+)(\?)?", type_text)
        if not match or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            self.fail("expected a field: name TYPE ...")
        if name in RESERVED:
            self.fail(f"{name} has a meaning in the generated code: choose another name")
        versions = around
        if rest and re.fullmatch(r"\d+(-\d+|\+)?", rest[0]):
            versions = Versions.parse(rest.pop(0), message_versions.last)
        field = Field(name, match[2], bool(match[1]), versions, versions if match[3] else None,
                      None, None, False)
        while rest:
            word = rest.pop(0)
            if word == "nullable":
                field.nullable = Versions.parse(rest.pop(0), message_versions.last)
            elif word == "tag":
                field.tag = int(rest.pop(0))
            elif word == "=":
                field.default = rest.pop(0)
            elif word == "ignorable":
                field.ignorable = True
            else:
                self.fail(f"unknown word {word}")
        self.check(field)
        return field

    def check(self, field):
        if field.default == "null" and field.nullable != field.versions:
            self.fail(f"{field.name} is null by default and not nullable everywhere")
        if field.nullable and not field.is_array and field.type in FIXED:
            self.fail(f"{field.name}: a {field.type} cannot be null")
        if field.type == "records" and (field.tag is not None or field.nullable is None):
            self.fail(f"{field.name}: records are nullable and not tagged")


def parse(path):
    return Parser(path).parse()
