// plugins/broker/commands/item_printer.h: prints things one a line, as text or as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/types.h"
#include "plugins/broker/commands/options.h"

namespace keelson::broker {

using Item = nlohmann::ordered_json;

/// Text as it is, save what is not printable ASCII, a backslash or a quote: \n, \\, \", \x07.
std::string escape(std::string_view text);
/// Bytes for an item: under `name` as text where they are UTF-8, else under `name`_hex.
void put_bytes(Item& item, const std::string& name, engine::Bytes bytes);

/// Lines on standard output: JSON objects, or "type key=value key=value". Nested values are
/// printed as JSON in both.
class ItemPrinter {
 public:
  explicit ItemPrinter(Output output) : output_(output) {}
  /// `item` is an object. `indent`: of the text form.
  void print(std::string_view type, const Item& item, int indent = 0);
  /// False once nobody reads what is printed.
  bool wanted() const;

 private:
  Output output_;
};

}  // namespace keelson::broker
