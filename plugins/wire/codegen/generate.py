#!/usr/bin/env python3
"""Makes C++ from schema files. Run by keelson_messages() in cmake/KeelsonMessages.cmake.

    generate.py --out DIR --prefix INCLUDE/PATH --namespace A::B PART SCHEMA...

PART  messages    one .h and .cc for each schema
      all         all_messages.h and testing/all_messages.h
      api-table   api_table.h and api_table.cc
      testing     testing/NAME.h and .cc for each schema
"""

import argparse
import pathlib
import sys

import cpp
import tables
from schema import SchemaError, parse


def outputs(part, prefix, namespace, schemas):
    if part == "all":
        yield "all_messages.h", tables.all_messages(prefix, namespace, schemas)
        yield "testing/all_messages.h", tables.all_includes(f"{prefix}/testing", schemas)
    elif part == "api-table":
        yield "api_table.h", tables.api_table_header(namespace, schemas)
        yield "api_table.cc", tables.api_table_source(prefix, namespace, schemas)
    for schema in schemas:
        if part == "messages":
            yield (f"{schema.stem}.h", cpp.header(schema.file_name, namespace, schema.messages))
            yield (f"{schema.stem}.cc",
                   cpp.source(schema.file_name, f"{prefix}/{schema.stem}.h", namespace,
                              schema.messages))
        elif part == "testing":
            yield f"testing/{schema.stem}.h", tables.testing_header(prefix, namespace, schema)
            yield f"testing/{schema.stem}.cc", tables.testing_source(prefix, namespace, schema)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("part", choices=["messages", "all", "api-table", "testing"])
    parser.add_argument("schemas", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    try:
        schemas = []
        for path in arguments.schemas:
            schema = parse(path)
            schema.stem, schema.file_name = path.stem, path.name
            schemas.append(schema)
    except SchemaError as error:
        sys.exit(str(error))
    for name, text in outputs(arguments.part, arguments.prefix, arguments.namespace, schemas):
        path = arguments.out / arguments.prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
