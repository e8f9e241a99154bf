// plugins/broker/commands/table_printer.h: a table on standard output, its columns aligned.
#pragma once

#include <string>
#include <vector>

namespace keelson::broker {

/// Every row has as many cells as `head`. Cells are printed as they are: escape what a user gave.
/// Nothing is printed where there are no rows.
void print_table(const std::vector<std::string>& head,
                 const std::vector<std::vector<std::string>>& rows);

}  // namespace keelson::broker
