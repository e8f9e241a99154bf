"""How fields look in C++: types, defaults, conditions on versions, least sizes."""

import re

from schema import FIXED, INTEGERS, NO_VERSION

CPP_FIXED = {
    "bool": "bool", "int8": "std::int8_t", "int16": "std::int16_t", "uint16": "std::uint16_t",
    "int32": "std::int32_t", "int64": "std::int64_t", "float64": "double", "uuid": "engine::Uuid",
}
CPP_BORROWED = {
    "string": "std::string_view", "bytes": "engine::Bytes", "records": "engine::MutableBytes"}
CPP_OWNED = {
    "string": "std::string", "bytes": "wire::OwnedBytes", "records": "engine::SliceList"}
GENERATED = "// Made by plugins/wire/codegen/generate.py from {}. Edit that.\n"


def snake(name):
    text = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text).lower()


class Code:
    """Lines of C++ with their indentation."""

    def __init__(self):
        self.lines = []
        self.depth = 0

    def add(self, text=""):
        self.lines.append("  " * self.depth + text if text else "")

    def open(self, text):
        self.add(text)
        self.depth += 1

    def close(self, text="}"):
        self.depth -= 1
        self.add(text)

    def reopen(self, text):
        self.close(text)
        self.depth += 1

    def text(self):
        return "\n".join(self.lines) + "\n"


def element_type(message, field):
    if field.type in CPP_FIXED:
        return CPP_FIXED[field.type]
    return (CPP_BORROWED if message.borrows else CPP_OWNED).get(field.type, field.type)


def is_optional(field):
    return field.nullable is not None


def field_type(message, field):
    type_name = element_type(message, field)
    if field.is_array:
        type_name = f"std::vector<{type_name}>"
    return f"std::optional<{type_name}>" if is_optional(field) else type_name


def is_null_by_default(field):
    return field.default == "null" or field.type == "records"


def integer_literal(field):
    value = int(field.default or 0)
    if value == -(2**31):
        return "std::numeric_limits<std::int32_t>::min()"
    if value == 2**31 - 1 and field.type == "int32":
        return "std::numeric_limits<std::int32_t>::max()"
    if value == 2**63 - 1:
        return "std::numeric_limits<std::int64_t>::max()"
    return str(value)


def initializer(field):
    if is_optional(field):
        return "" if is_null_by_default(field) else "{std::in_place}"
    if field.is_array or field.is_struct or field.type in ("uuid", "string", "bytes"):
        return ""
    if field.type == "bool":
        return f" = {field.default or 'false'}"
    return f" = {integer_literal(field)}"


def is_set(field):
    """An expression: the field differs from its default."""
    name = field.name
    if is_optional(field):
        if is_null_by_default(field):
            return f"{name}.has_value()"
        if field.is_array or not field.is_struct:
            return f"!{name} || !{name}->empty()"
        return f"!{name} || !(*{name} == {field.type}{{}})"
    if field.is_array or field.type in ("string", "bytes"):
        return f"!{name}.empty()"
    if field.is_struct:
        return f"!({name} == {field.type}{{}})"
    if field.type == "uuid":
        return f"!{name}.is_zero()"
    if field.type == "bool":
        return f"!{name}" if field.default == "true" else name
    return f"{name} != {integer_literal(field)}"


def condition(versions, around):
    """An expression: `version` is within `versions`, for one that is within `around`."""
    parts = []
    if versions.first > around.first:
        parts.append(f"version >= {versions.first}")
    if versions.last < around.last:
        parts.append(f"version <= {versions.last}")
    if len(parts) == 2 and versions.first == versions.last:
        return f"version == {versions.first}"
    return " && ".join(parts)


def min_bytes(message, struct, version):
    """The fewest bytes the struct can take on the wire in this version."""
    flexible = version >= message.first_flexible
    total = 1 if flexible else 0
    for field in struct.fields:
        if version not in field.versions or field.tag is not None:
            continue
        total += min_value_bytes(message, field, version)
    return total


def min_value_bytes(message, field, version):
    flexible = version >= message.first_flexible
    if field.is_array or field.type in ("bytes", "records"):
        return 1 if flexible else 4
    if field.type in FIXED:
        return FIXED[field.type]
    if field.type == "string":
        return 1 if flexible else 2
    if field.nullable and version in field.nullable:
        return 1
    return min_bytes(message, message.struct(field.type), version)


def min_element_bytes(message, field):
    """An expression: a lower bound of the bytes of one element."""
    last = min(field.versions.last, message.versions.last)
    bounds = {}
    for version in range(field.versions.first, last + 1):
        flexible = version >= message.first_flexible
        if field.is_struct:
            size = min_bytes(message, message.struct(field.type), version)
        elif field.type in FIXED:
            size = FIXED[field.type]
        else:
            size = 1 if flexible else 2 if field.type == "string" else 4
        bounds[flexible] = min(bounds.get(flexible, NO_VERSION), max(size, 1))
    if len(set(bounds.values())) == 1:
        return str(next(iter(bounds.values())))
    return f"version >= {message.first_flexible} ? {bounds[True]} : {bounds[False]}"
