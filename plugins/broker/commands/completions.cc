// Shell completions and the manual page, both from the command line's own tree.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "plugins/broker/commands/commands.h"
#include "plugins/broker/commands/options.h"

namespace keelson::broker {
namespace {

struct Word {
  std::string text;  // a sub-command's name, or "--option"
  std::string description;
  bool takes_value = false;
};

/// One command of the tree. `path` is "/topic/create"; the program's own is empty.
struct Node {
  std::string path;
  const CLI::App* app;
};

void collect(const CLI::App& app, const std::string& path, std::vector<Node>& nodes) {
  nodes.push_back({path, &app});
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    collect(*command, path + "/" + command->get_name(), nodes);
  }
}

std::vector<Word> words_of(const CLI::App& app) {
  std::vector<Word> words;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    words.push_back({command->get_name(), command->get_description(), false});
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      words.push_back(
          {"--" + name, option->get_description(), option->get_items_expected_max() > 0});
    }
  }
  return words;
}

/// In single quotes for sh and zsh.
std::string quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

/// In single quotes for fish.
std::string quote_fish(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string all_paths(const std::vector<Node>& nodes, const char* separator) {
  std::string out;
  for (const Node& node : nodes) {
    if (node.path.empty()) continue;
    if (!out.empty()) out += separator;
    out += quote(node.path);
  }
  return out;
}

void print_bash(const std::vector<Node>& nodes) {
  std::cout << "_keelson() {\n"
               "  local at='' words='' i\n"
               "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
               "    case \"$at/${COMP_WORDS[i]}\" in\n"
               "      "
            << all_paths(nodes, "|")
            << ") at=\"$at/${COMP_WORDS[i]}\" ;;\n"
               "    esac\n"
               "  done\n"
               "  case \"$at\" in\n";
  for (const Node& node : nodes) {
    std::string words;
    for (const Word& word : words_of(*node.app)) words += (words.empty() ? "" : " ") + word.text;
    std::cout << "    " << quote(node.path) << ") words=" << quote(words) << " ;;\n";
  }
  std::cout << "  esac\n"
               "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
               "}\n"
               "complete -o default -F _keelson keelson\n";
}

void print_zsh(const std::vector<Node>& nodes) {
  std::cout << "#compdef keelson\n"
               "_keelson() {\n"
               "  local at='' i\n"
               "  local -a found\n"
               "  for ((i = 2; i < CURRENT; i++)); do\n"
               "    case \"$at/${words[i]}\" in\n"
               "      "
            << all_paths(nodes, "|")
            << ") at=\"$at/${words[i]}\" ;;\n"
               "    esac\n"
               "  done\n"
               "  case \"$at\" in\n";
  for (const Node& node : nodes) {
    std::cout << "    " << quote(node.path) << ") found=(";
    for (const Word& word : words_of(*node.app)) {
      std::string description = word.description;  // colons part a name from its description
      std::ranges::replace(description, ':', ' ');
      std::cout << quote(word.text + ":" + description) << ' ';
    }
    std::cout << ") ;;\n";
  }
  std::cout << "  esac\n"
               "  _describe keelson found || _files\n"
               "}\n"
               "compdef _keelson keelson\n";
}

void print_fish(const std::vector<Node>& nodes) {
  std::cout << "function __keelson_at\n"
               "  set -l at ''\n"
               "  for word in (commandline -opc)[2..]\n"
               "    switch \"$at/$word\"\n"
               "      case "
            << all_paths(nodes, " ")
            << "\n"
               "        set at \"$at/$word\"\n"
               "    end\n"
               "  end\n"
               "  test \"$at\" = \"$argv[1]\"\n"
               "end\n";
  for (const Node& node : nodes) {
    for (const Word& word : words_of(*node.app)) {
      const bool is_option = word.text.starts_with("--");
      std::cout << "complete -c keelson -n " << quote_fish("__keelson_at '" + node.path + "'")
                << (is_option ? " -l " + word.text.substr(2) : " -f -a " + word.text)
                << (word.takes_value ? " -r" : "") << " -d " << quote_fish(word.description)
                << '\n';
    }
  }
}

/// Text for roff: no line may begin with a dot, no backslash or dash be taken for markup.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '-') out += '\\';
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
    out += c;
  }
  return out;
}

void print_man(const std::vector<Node>& nodes) {
  std::cout << ".TH KEELSON 1 \"\" \"keelson " << KEELSON_VERSION << "\"\n.SH NAME\nkeelson \\- "
            << roff(nodes.front().app->get_description())
            << "\n.SH SYNOPSIS\n.B keelson\n.I command\n[options]\n.SH COMMANDS\n";
  for (const Node& node : nodes) {
    if (node.path.empty()) continue;
    std::string name = "keelson" + node.path;
    std::ranges::replace(name, '/', ' ');
    std::cout << ".SS " << roff(name) << '\n' << roff(node.app->get_description()) << ".\n";
    for (const CLI::Option* option : node.app->get_options()) {
      const bool takes_value = option->get_items_expected_max() > 0;
      std::cout << ".TP\n\\fB" << roff(option->get_name(true)) << "\\fR"
                << (takes_value ? " \\fIvalue\\fR" : "") << '\n'
                << roff(option->get_description()) << '\n';
    }
  }
  std::cout << ".SH EXIT STATUS\n0 success; 1 it could not be done, or something was found; 2 "
               "wrong use or configuration.\n";
}

}  // namespace

Command add_completions(CLI::App& program) {
  auto shell = std::make_shared<std::string>();
  CLI::App* const command = program.add_subcommand(
      "completions", "Print completions for a shell, or the manual page (man)");
  command->add_option("shell", *shell, "bash, zsh, fish or man")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish", "man"}));
  return {command, [shell, &program] {
            std::vector<Node> nodes;
            collect(program, "", nodes);
            if (*shell == "bash") print_bash(nodes);
            if (*shell == "zsh") print_zsh(nodes);
            if (*shell == "fish") print_fish(nodes);
            if (*shell == "man") print_man(nodes);
            return 0;
          }};
}

}  // namespace keelson::broker
