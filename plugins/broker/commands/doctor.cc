#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/io/probe.h"
#include "plugins/broker/commands/commands.h"
#include "plugins/broker/commands/options.h"

namespace keelson::broker {
namespace {

using engine::io::CommitPrimitive;
using engine::io::MachineProbe;
using engine::io::ProbedFeature;

const char* name_of(CommitPrimitive commit) {
  return commit == CommitPrimitive::write_dsync ? "write with RWF_DSYNC" : "write, then fdatasync";
}

void print_text(const MachineProbe& probe, const std::string& directory) {
  const auto hint = [](const std::string& remedy) {
    if (!remedy.empty()) std::cout << "    to get it: " << remedy << '\n';
  };
  std::cout << "io_uring: " << probe.uring.reason << '\n';
  hint(probe.uring.remedy);
  for (const ProbedFeature& feature : probe.uring.features) {
    std::cout << "  " << feature.name << ": " << (feature.present ? "yes" : "no") << '\n';
    hint(feature.remedy);
  }
  std::cout << "backend chosen: " << (probe.uring.available ? "uring" : "threads") << '\n';
  if (directory.empty()) {
    std::cout << "disk: not looked at; name a data directory with --data\n";
    return;
  }
  std::cout << "O_DIRECT in " << directory << ": ";
  if (probe.direct_io.supported) {
    std::cout << "yes, aligned to " << probe.direct_io.align_bytes << " bytes\n";
  } else {
    std::cout << "no (errno " << probe.direct_io.sys_errno << ")\n";
    hint(probe.direct_io.remedy);
  }
  std::cout << "commit: " << name_of(probe.commit.chosen) << "; " << probe.commit.reason << '\n';
  if (probe.commit.measured) {
    std::cout << "  RWF_DSYNC median " << probe.commit.dsync_median_ns / 1000
              << " us, write and fdatasync median " << probe.commit.write_then_sync_median_ns / 1000
              << " us, " << probe.commit.rounds << " rounds of 4 KiB\n";
  }
}

void print_json(const MachineProbe& probe) {
  nlohmann::json features = nlohmann::json::array();
  for (const ProbedFeature& feature : probe.uring.features) {
    features.push_back(
        {{"name", feature.name}, {"present", feature.present}, {"remedy", feature.remedy}});
  }
  const nlohmann::json all = {
      {"uring",
       {{"available", probe.uring.available},
        {"errno", probe.uring.sys_errno},
        {"reason", probe.uring.reason},
        {"remedy", probe.uring.remedy},
        {"features", features}}},
      {"backend", probe.uring.available ? "uring" : "threads"},
      {"direct_io",
       {{"supported", probe.direct_io.supported},
        {"align_bytes", probe.direct_io.align_bytes},
        {"errno", probe.direct_io.sys_errno},
        {"remedy", probe.direct_io.remedy}}},
      {"commit",
       {{"measured", probe.commit.measured},
        {"chosen", name_of(probe.commit.chosen)},
        {"dsync_median_ns", probe.commit.dsync_median_ns},
        {"write_then_sync_median_ns", probe.commit.write_then_sync_median_ns},
        {"rounds", probe.commit.rounds},
        {"reason", probe.commit.reason}}}};
  std::cout << all.dump(2) << '\n';
}

}  // namespace

Command add_doctor(CLI::App& program) {
  struct Options {
    std::string data;
    Output output = Output::text;
  };
  auto options = std::make_shared<Options>();
  CLI::App* const command =
      program.add_subcommand("doctor", "What this machine offers, what is chosen, how to get more");
  command->add_option("--data", options->data, "Directory to measure the disk in")
      ->check(CLI::ExistingDirectory);
  add_output_option(*command, options->output);
  return {command, [options] {
            const MachineProbe probe = engine::io::probe_machine(options->data);
            if (options->output == Output::json) {
              print_json(probe);
            } else {
              print_text(probe, options->data);
            }
            return 0;
          }};
}

}  // namespace keelson::broker
