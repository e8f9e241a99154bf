"""C++ of messages: declarations, readers, writers, comparison."""

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


# --- header ---

def declare_struct(code, message, struct):
    code.open(f"struct {struct.name} {{")
    declare_body(code, message, struct)
    code.close("};")
    code.add()


def declare_body(code, message, struct):
    for field in struct.fields:
        code.add(f"{field_type(message, field)} {field.name}{initializer(field)};")
    if struct.fields:
        code.add()
    code.add(f"bool operator==(const {struct.name}& other) const;")
    code.add("void read(wire::Reader& reader, std::int16_t version);")
    code.add("void write(wire::Writer& writer, std::int16_t version) const;")


def struct_namespace(message):
    """Structs are not nested in their message: std::optional and others would look at them before
    the outer class is complete, when a struct with initializers cannot be default-made yet."""
    return snake(message.name)


def declare_message(code, message):
    if message.structs:
        code.add(f"namespace {struct_namespace(message)} {{\n")
        for struct in message.structs:
            declare_struct(code, message, struct)
        code.add(f"}}  // namespace {struct_namespace(message)}\n")
    code.open(f"struct {message.name} {{")
    code.add(f'static constexpr std::string_view kName = "{message.name}";')
    if message.key is not None:
        name = "kRecordType" if message.kind == "record" else "kApiKey"
        code.add(f"static constexpr std::int16_t {name} = {message.key};")
    code.add(f"static constexpr std::int16_t kMinVersion = {message.versions.first};")
    code.add(f"static constexpr std::int16_t kMaxVersion = {message.versions.last};")
    first = message.first_flexible
    note = "  // none" if first == NO_VERSION else ""
    code.add(f"static constexpr std::int16_t kFirstFlexibleVersion = {first};{note}")
    code.add()
    for struct in message.structs:
        code.add(f"using {struct.name} = {struct_namespace(message)}::{struct.name};")
    if message.structs:
        code.add()
    declare_body(code, message, message.root)
    code.add()
    if message.borrows:
        code.add("/// Views point into the reader's bytes. Bytes after the message are left unread.")
    else:
        code.add("/// Owns what it holds. Bytes after the message are left unread.")
    code.add("/// Errors: unsupported for a version out of range, corrupt for malformed bytes.")
    code.add(f"[[nodiscard]] static engine::Result<{message.name}> decode(wire::Reader& reader,")
    code.add(" " * (37 + len(message.name)) + "std::int16_t version);")
    code.add("/// Errors: unsupported for a version out of range, invalid_argument where this")
    code.add("/// version cannot say what is set. The writer has failed then: drop its output.")
    code.add("[[nodiscard]] engine::Result<void> encode(wire::Writer& writer,")
    code.add("                                          std::int16_t version) const;")
    code.close("};")
    code.add()


def header(source, namespace, messages):
    code = Code()
    code.lines.append(GENERATED.format(source) + "#pragma once\n")
    for name in ("cstdint", "limits", "optional", "string", "string_view", "vector"):
        code.add(f"#include <{name}>")
    code.add()
    for name in ("engine/error.h", "engine/slice.h", "engine/types.h", "engine/uuid.h",
                 "plugins/wire/message.h"):
        code.add(f'#include "{name}"')
    code.add(f"\nnamespace {namespace} {{\n")
    for message in messages:
        declare_message(code, message)
    code.add(f"}}  // namespace {namespace}")
    return code.text()


# --- reading ---

def read_value(message, field):
    """An expression that reads one value that is no array and not null."""
    if field.type in INTEGERS:
        return f"reader.integer<{CPP_FIXED[field.type]}>()"
    simple = {"bool": "boolean()", "float64": "float64()", "uuid": "uuid()",
              "string": "string(lengths)"}
    if field.type in simple:
        return "reader." + simple[field.type]
    return f"reader.{'bytes' if message.borrows else 'owned_bytes'}(lengths)"


def read_field(code, message, field, nullable):
    name, prefix = field.name, "nullable_" if nullable else ""
    if field.is_array:
        type_name = element_type(message, field)
        reads = ("element.read(reader, version)" if field.is_struct
                 else f"element = {read_value(message, field)}")
        code.add(f"{name} = reader.{prefix}array<{type_name}>(")
        code.add(f"    lengths, {min_element_bytes(message, field)},")
        code.add(f"    [&](wire::Reader& reader, {type_name}& element) {{ {reads}; }});")
    elif field.type == "records":
        reads = "nullable_mutable_bytes" if message.borrows else "nullable_slices"
        code.add(f"{name} = reader.{reads}(lengths);")
    elif not field.is_struct:
        code.add(f"{name} = {read_value(message, field).replace('reader.', 'reader.' + prefix)};")
    elif nullable:
        tagged = "tagged_" if field.tag is not None else ""
        code.open(f"if (reader.{tagged}struct_follows()) {{")
        code.add(f"{name}.emplace().read(reader, version);")
        code.reopen("} else {")
        code.add(f"{name}.reset();")
        code.close()
    elif is_optional(field):
        code.add(f"{name}.emplace().read(reader, version);")
    else:
        code.add(f"{name}.read(reader, version);")


def read_any(code, message, field, around):
    if field.nullable and (here := condition(field.nullable, around)):
        code.open(f"if ({here}) {{")
        read_field(code, message, field, True)
        code.reopen("} else {")
        read_field(code, message, field, False)
        code.close()
    else:
        read_field(code, message, field, field.nullable is not None)


def may_be_flexible(message, struct):
    return message.first_flexible <= struct.versions.last


def guard(code, text, body):
    """`body` inside of `if (text)`, or bare where there is no condition."""
    if not text:
        return body()
    code.open(f"if ({text}) {{")
    body()
    code.close()


def flexible_condition(message, struct):
    first = message.first_flexible
    return f"version >= {first}" if first > struct.versions.first else ""


def read_tags(code, message, struct, tagged):
    if not tagged:
        return code.add("reader.skip_tagged_fields();")
    code.open("reader.tagged_fields([&](wire::Reader& reader, std::uint32_t tag) {")
    code.add("switch (tag) {")
    for field in tagged:
        here = condition(field.versions, struct.versions)
        code.add(f"  case {field.tag}:")
        code.depth += 2
        if here and here != flexible_condition(message, struct):
            code.add(f"if (!({here})) return false;")
        read_any(code, message, field, struct.versions)
        code.add("return true;")
        code.depth -= 2
    code.add("  default: return false;")
    code.add("}")
    code.close("});")


def define_read(code, message, struct, scope):
    body = Code()
    body.depth = 1
    tagged = [f for f in struct.fields if f.tag is not None]
    for field in struct.fields:
        if field.tag is None:
            guard(body, condition(field.versions, struct.versions),
                  lambda field=field: read_any(body, message, field, struct.versions))
    if may_be_flexible(message, struct):
        guard(body, flexible_condition(message, struct),
              lambda: read_tags(body, message, struct, tagged))
    define(code, message, struct, body, f"void {scope}::read(", "wire::Reader& reader", "", "Reader")


def define(code, message, struct, body, head, stream, tail, stream_type):
    """A function with its parameters named only where the body uses them."""
    text = "\n".join(body.lines)
    uses_lengths = "(lengths" in text or " lengths," in text
    flexible = flexible_condition(message, struct)
    if not may_be_flexible(message, struct):
        lengths = f"wire::{stream_type}::classic"
    elif not flexible:
        lengths = f"wire::{stream_type}::compact"
    else:
        lengths = f"{flexible} ? wire::{stream_type}::compact : wire::{stream_type}::classic"
    uses_version = re.search(r"\bversion\b", text) or (uses_lengths and "version" in lengths)
    unused = "[[maybe_unused]] "
    code.add(f"{head}{stream if text else unused + stream},")
    pad = " " * len(head)
    code.add(f"{pad}{'' if uses_version else unused}std::int16_t version){tail} {{")
    if uses_lengths:
        code.add(f"  const auto lengths = {lengths};")
    code.lines += body.lines
    code.add("}\n")


# --- writing ---

def write_value(field, value):
    if field.type in INTEGERS:
        return f"writer.integer({value})"
    simple = {"bool": "boolean", "float64": "float64", "uuid": "uuid"}
    if field.type in simple:
        return f"writer.{simple[field.type]}({value})"
    return f"writer.{'slices' if field.type == 'records' else field.type}(lengths, {value})"


def write_present(code, message, field, value):
    if field.is_array:
        dot = "->" if value.startswith("*") else "."
        code.add(f"writer.array_count(lengths, {value.lstrip('*')}{dot}size());")
        writes = ("element.write(writer, version)" if field.is_struct
                  else write_value(field, "element"))
        code.add(f"for (const auto& element : {value}) {writes};")
    elif field.is_struct:
        dot = "->" if value.startswith("*") else "."
        code.add(f"{value.lstrip('*')}{dot}write(writer, version);")
    elif field.type == "records" and message.borrows:
        code.add(f"writer.bytes(lengths, {value});")
    else:
        code.add(f"{write_value(field, value)};")


def write_null(field):
    if field.is_struct and not field.is_array:
        tagged = "tagged_" if field.tag is not None else ""
        return f"writer.{tagged}struct_follows(false)"
    if field.type == "string" and not field.is_array:
        return "writer.null_string(lengths)"
    return "writer.null_array(lengths)"


def write_any(code, message, field, around):
    if not is_optional(field):
        return write_present(code, message, field, field.name)
    where = condition(field.nullable, around)
    code.open(f"if ({field.name}) {{")
    if field.is_struct and not field.is_array:
        tagged = "tagged_" if field.tag is not None else ""
        guard(code, where, lambda: code.add(f"writer.{tagged}struct_follows(true);"))
    write_present(code, message, field, "*" + field.name)
    if where:
        code.reopen(f"}} else if ({where}) {{")
        code.add(f"{write_null(field)};")
        code.reopen("} else {")
        code.add("writer.fail();  // null, where this version knows none")
    else:
        code.reopen("} else {")
        code.add(f"{write_null(field)};")
    code.close()


def write_tags(code, message, struct, tagged):
    if not tagged:
        return code.add("writer.unsigned_varint(0);")
    conditions = {}
    for field in tagged:
        here = condition(field.versions, struct.versions)
        if here == flexible_condition(message, struct):
            here = ""
        conditions[field.tag] = f"{here} && ({is_set(field)})" if here else is_set(field)
    code.add("std::uint32_t tagged_count = 0;")
    for field in tagged:
        code.add(f"if ({conditions[field.tag]}) ++tagged_count;")
    code.add("writer.unsigned_varint(tagged_count);")
    for field in sorted(tagged, key=lambda f: f.tag):
        code.open(f"if ({conditions[field.tag]}) {{")
        code.open(f"writer.tagged_field({field.tag}, [&](wire::Writer& writer) {{")
        write_any(code, message, field, struct.versions)
        code.close("});")
        code.close()


def define_write(code, message, struct, scope):
    body = Code()
    body.depth = 1
    tagged = [f for f in struct.fields if f.tag is not None]
    for field in struct.fields:
        here = condition(field.versions, struct.versions)
        refuses = here and not field.ignorable
        if field.tag is not None:
            if refuses:
                body.add(f"if (!({here}) && ({is_set(field)})) writer.fail();")
            continue
        if not here:
            write_any(body, message, field, struct.versions)
            continue
        body.open(f"if ({here}) {{")
        write_any(body, message, field, struct.versions)
        if refuses:
            body.reopen(f"}} else if ({is_set(field)}) {{")
            body.add("writer.fail();  // this version cannot say it")
        body.close()
    if may_be_flexible(message, struct):
        guard(body, flexible_condition(message, struct),
              lambda: write_tags(body, message, struct, tagged))
    define(code, message, struct, body, f"void {scope}::write(", "wire::Writer& writer", " const",
           "Writer")


def define_equal(code, struct, scope):
    other = "other" if struct.fields else ""
    code.add(f"bool {scope}::operator==(const {struct.name}& {other}) const {{".replace("& )", "&)"))
    if not struct.fields:
        code.add("  return true;")
    else:
        parts = [f"wire::equal({f.name}, other.{f.name})" for f in struct.fields]
        code.add("  return " + " &&\n         ".join(parts) + ";")
    code.add("}\n")


def source(source_name, include, namespace, messages):
    code = Code()
    code.lines.append(GENERATED.format(source_name) + f'#include "{include}"\n')
    for name in ("codec", "equal"):
        code.add(f'#include "plugins/wire/{name}.h"')
    code.add(f"\nnamespace {namespace} {{\n")
    for message in messages:
        scopes = [(s, f"{struct_namespace(message)}::{s.name}") for s in message.structs]
        for struct, scope in scopes + [(message.root, message.name)]:
            define_equal(code, struct, scope)
            define_read(code, message, struct, scope)
            define_write(code, message, struct, scope)
        name = message.name
        code.add(f"engine::Result<{name}> {name}::decode(wire::Reader& reader, "
                 "std::int16_t version) {")
        code.add(f"  return wire::decode<{name}>(reader, version);\n}}\n")
        code.add(f"engine::Result<void> {name}::encode(wire::Writer& writer, "
                 "std::int16_t version) const {")
        code.add("  return wire::encode(*this, writer, version);\n}\n")
    code.add(f"}}  // namespace {namespace}")
    return code.text()
