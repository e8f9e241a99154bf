#include "plugins/registry/config/origin.h"

#include "engine/logger.h"

namespace keelson {

using engine::concat;

std::string to_text(const Origin& origin) {
  switch (origin.kind) {
    case OriginKind::default_value: return "default";
    case OriginKind::file: return concat(origin.source, ":", origin.line, ":", origin.column);
    case OriginKind::environment: return concat("environment ", origin.source);
    case OriginKind::command_line: return concat("--set ", origin.source);
  }
  return "";
}

std::string to_text(const ConfigProblems& problems) {
  std::string text;
  for (const ConfigProblem& problem : problems) {
    if (!text.empty()) text += '\n';
    if (problem.where.kind != OriginKind::default_value) text += to_text(problem.where) + ": ";
    text += problem.message;
  }
  return text;
}

}  // namespace keelson
