"""C++ of messages: declarations, readers, writers, comparison."""

import re

from fields import (CPP_FIXED, GENERATED, Code, condition, element_type, field_type, initializer,
                    is_optional, is_set, min_element_bytes, snake)
from schema import INTEGERS, NO_VERSION


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
        code.add("/// Views point into the reader's bytes. What follows the message is left.")
    else:
        code.add("/// Owns what it holds. What follows the message is left.")
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
    define(code, message, struct, body, f"void {scope}::read(", "wire::Reader& reader", "",
           "Reader")


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
    other = " other" if struct.fields else ""
    code.add(f"bool {scope}::operator==(const {struct.name}&{other}) const {{")
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
