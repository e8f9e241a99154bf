"""What spans all schemas of a target: the API table, a list of all messages, and test support."""

import re

from fields import GENERATED, Code, condition, element_type, is_optional, is_set, snake
from schema import INTEGERS


def all_messages(prefix, namespace, schemas):
    code = Code()
    code.lines.append(GENERATED.format("all schemas") + "#pragma once\n")
    code.add("#include <type_traits>\n")
    for schema in schemas:
        code.add(f'#include "{prefix}/{schema.stem}.h"')
    code.add(f"\nnamespace {namespace} {{\n")
    code.add("/// Calls `visit(std::type_identity<Message>{})` for every message.")
    code.add("template <class Visit>")
    code.add("void for_each_message(Visit visit) {")
    for schema in schemas:
        for message in schema.messages:
            code.add(f"  visit(std::type_identity<{message.name}>{{}});")
    code.add(f"}}\n\n}}  // namespace {namespace}")
    return code.text()


def all_includes(prefix, schemas):
    code = Code()
    code.lines.append(GENERATED.format("all schemas") + "#pragma once\n")
    for schema in schemas:
        code.add(f'#include "{prefix}/{schema.stem}.h"')
    return code.text()


def api_table_header(namespace, schemas):
    apis = sorted((s.api for s in schemas), key=lambda api: api.key)
    code = Code()
    code.lines.append(GENERATED.format("all schemas") + "#pragma once\n")
    code.add("#include <cstdint>\n#include <span>\n#include <string_view>\n")
    code.add(f"namespace {namespace} {{\n")
    code.add("enum class ApiKey : std::int16_t {")
    for api in apis:
        code.add(f"  {snake(api.name)} = {api.key},")
    code.add("};\n")
    code.lines.append('''\
/// The versions of one API that the codec knows. Requests and responses have the same.
struct ApiInfo {
  ApiKey key;
  std::string_view name;  // as Kafka names it, without Request or Response
  std::int16_t min_version;
  std::int16_t max_version;
  std::int16_t max_stable_version;      // what to offer unless unstable versions are asked for
  std::int16_t first_flexible_version;  // 32767: none
  std::int16_t advertised_min_version;  // below min_version where old clients look for it

  bool knows(std::int16_t version) const {
    return min_version <= version && version <= max_version;
  }
  bool is_flexible(std::int16_t version) const { return version >= first_flexible_version; }
};

/// The API with this key; null where the codec knows none.
const ApiInfo* api_info(std::int16_t key);
inline const ApiInfo& api_info(ApiKey key) { return *api_info(static_cast<std::int16_t>(key)); }
/// All of them, by key.
std::span<const ApiInfo> all_apis();
''')
    code.add(f"}}  // namespace {namespace}")
    return code.text()


def api_table_source(prefix, namespace, schemas):
    apis = sorted((s.api for s in schemas), key=lambda api: api.key)
    code = Code()
    code.lines.append(GENERATED.format("all schemas") + f'#include "{prefix}/api_table.h"\n')
    code.add("#include <algorithm>\n#include <array>\n")
    code.add(f"namespace {namespace} {{\nnamespace {{\n")
    code.add("// key, name, min, max, max stable, first flexible, advertised min")
    code.add(f"constexpr std::array<ApiInfo, {len(apis)}> kApis = {{{{")
    for api in apis:
        stable = api.versions.last if api.unstable is None else api.unstable - 1
        code.add(f'    {{ApiKey::{snake(api.name)}, "{api.name}", {api.versions.first}, '
                 f"{api.versions.last}, {stable}, {api.first_flexible}, {api.advertised_min}}},")
    code.add("}};\n")
    code.lines.append('''\
constexpr std::size_t kKeyCount = static_cast<std::size_t>(kApis.back().key) + 1;

constexpr auto kIndexByKey = [] {
  std::array<std::int16_t, kKeyCount> index;
  index.fill(-1);
  for (std::size_t i = 0; i < kApis.size(); ++i) {
    index[static_cast<std::size_t>(kApis[i].key)] = static_cast<std::int16_t>(i);
  }
  return index;
}();

}  // namespace

const ApiInfo* api_info(std::int16_t key) {
  if (key < 0 || static_cast<std::size_t>(key) >= kKeyCount) return nullptr;
  const std::int16_t index = kIndexByKey[static_cast<std::size_t>(key)];
  return index < 0 ? nullptr : &kApis[static_cast<std::size_t>(index)];
}

std::span<const ApiInfo> all_apis() { return kApis; }
''')
    code.add(f"}}  // namespace {namespace}")
    return code.text()


# --- test support: random content and a text form, both for one version ---

def testing_header(prefix, namespace, schema):
    code = Code()
    code.lines.append(GENERATED.format(schema.file_name) + "#pragma once\n")
    code.add(f'#include <string>\n\n#include "{prefix}/{schema.stem}.h"')
    code.add('#include "tests/plugins/wire/random_values.h"')
    code.add(f"\nnamespace {namespace} {{\n")
    for message in schema.messages:
        code.add(f"void fill_random(wire::RandomValues& random, {message.name}& message, "
                 "std::int16_t version);")
        code.add(f"std::string to_text(const {message.name}& message, std::int16_t version);")
    code.add(f"\n}}  // namespace {namespace}")
    return code.text()


def presence(field, message):
    return presence_of(field.versions, message)


def presence_of(versions, message):
    """An expression: `version`, any of the message, is one of `versions`."""
    return condition(versions, message.versions) or "true"


def random_value(field):
    if field.type in INTEGERS:
        kind = "std::uint16_t" if field.type == "uint16" else f"std::{field.type}_t"
        return f"random.integer<{kind}>()"
    return {"bool": "random.boolean()", "float64": "random.float64()", "uuid": "random.uuid()",
            "string": "random.string()"}[field.type]


def fill_one(code, message, field, target):
    if field.is_struct:
        code.add(f"fill(random, {target}, version);")
    elif field.type in ("bytes", "records"):
        code.add(f"random.fill_bytes({target});")
    else:
        code.add(f"{target} = {random_value(field)};")


def define_fill(code, message, struct, cpp_name):
    code.open(f"[[maybe_unused]] void fill([[maybe_unused]] wire::RandomValues& random, "
              f"[[maybe_unused]] {cpp_name}& value, [[maybe_unused]] std::int16_t version) {{")
    for field in struct.fields:
        chance = " && random.boolean()" if field.tag is not None else ""
        code.open(f"if ({presence(field, message)}{chance}) {{")
        target = f"value.{field.name}"
        if is_optional(field):
            null = presence_of(field.nullable, message)
            code.open(f"if (({null}) && random.one_in(4)) {{")
            code.add(f"{target}.reset();")
            code.reopen("} else {")
            code.add(f"{target}.emplace();")
            target = "(*" + target + ")"
        if field.is_array:
            kind = element_type(message, field)
            kind = f"{message.name}::{kind}" if field.is_struct else kind
            code.add(f"{target}.clear();")
            code.open("for (std::size_t i = random.count(); i > 0; --i) {")
            code.add(f"{kind} element{{}};")
            fill_one(code, message, field, "element")
            code.add(f"{target}.push_back(std::move(element));")
            code.close()
        else:
            fill_one(code, message, field, target)
        if is_optional(field):
            code.close()
        code.close()
    code.close("}\n")


def define_text(code, message, struct, cpp_name):
    code.open(f"[[maybe_unused]] void append([[maybe_unused]] wire::TextForm& text, "
              f"[[maybe_unused]] const {cpp_name}& value, "
              "[[maybe_unused]] std::int16_t version) {")
    code.add("text.open('{');")
    for field in struct.fields:
        here = presence(field, message)
        if field.tag is not None:
            set_here = re.sub(rf"(?<![\w.]){field.name}(?!\w)", f"value.{field.name}",
                              is_set(field))
            set_here = set_here.replace(f"{field.type}{{}}",
                                        f"{message.name}::{field.type}{{}}")
            here += f" && ({set_here})"
        code.open(f"if ({here}) {{")
        code.add(f'text.name("{field.name}");')
        target = f"value.{field.name}"
        if is_optional(field):
            code.open(f"if (!{target}) {{")
            code.add("text.null();")
            code.reopen("} else {")
            target = "(*" + target + ")"
        one = "append(text, {}, version);" if field.is_struct else "text.value({});"
        if field.is_array:
            code.add("text.open('[');")
            code.open(f"for (const auto& element : {target}) {{")
            code.add("text.next();")
            code.add(one.format("element"))
            code.close()
            code.add("text.close(']');")
        else:
            code.add(one.format(target))
        if is_optional(field):
            code.close()
        code.close()
    code.add("text.close('}');")
    code.close("}\n")


def testing_source(prefix, namespace, schema):
    code = Code()
    code.lines.append(GENERATED.format(schema.file_name))
    code.add(f'#include "{prefix}/testing/{schema.stem}.h"\n')
    code.add('#include "tests/plugins/wire/text_form.h"')
    code.add(f"\nnamespace {namespace} {{\nnamespace {{\n")
    for message in schema.messages:
        scopes = [(s, f"{message.name}::{s.name}") for s in message.structs]
        for struct, cpp_name in scopes + [(message.root, message.name)]:
            define_fill(code, message, struct, cpp_name)
            define_text(code, message, struct, cpp_name)
    code.add("}  // namespace\n")
    for message in schema.messages:
        code.add(f"void fill_random(wire::RandomValues& random, {message.name}& message, "
                 "std::int16_t version) {\n  fill(random, message, version);\n}\n")
        code.add(f"std::string to_text(const {message.name}& message, std::int16_t version) {{\n"
                 "  wire::TextForm text;\n  append(text, message, version);\n"
                 "  return text.take();\n}\n")
    code.add(f"}}  // namespace {namespace}")
    return code.text()
