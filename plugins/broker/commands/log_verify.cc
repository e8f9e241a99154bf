#include <unistd.h>

#include <chrono>
#include <iostream>

#include "engine/log/verify.h"
#include "plugins/broker/commands/item_printer.h"
#include "plugins/broker/commands/log_commands.h"

namespace keelson::broker {
namespace {

using engine::Errc;
using engine::Result;
using engine::Task;
using engine::io::Shard;
using engine::log::Finding;
using engine::log::VerifyProgress;
using engine::log::VerifySummary;

Item to_item(const Finding& finding) {
  Item item = {{"severity", finding.is_note ? "note" : "finding"},
               {"kind", std::string(to_string(finding.kind))},
               {"log", finding.log_name},
               {"file", finding.file}};
  if (finding.position_bytes) item["position"] = *finding.position_bytes;
  if (finding.offset) item["offset"] = finding.offset->value();
  item["text"] = finding.text;
  return item;
}

/// One line per finding; progress on a terminal.
class Printer final : public engine::log::VerifyObserver {
 public:
  explicit Printer(Output output) : output_(output), shows_progress_(isatty(STDERR_FILENO) == 1) {}

  void on_finding(const Finding& finding) override {
    clear_progress();
    if (output_ == Output::json) {
      ItemPrinter(output_).print("finding", to_item(finding));
      return;
    }
    std::cout << (finding.is_note ? "note: " : "FINDING: ");
    std::cout << escape(finding.log_name);
    if (!finding.log_name.empty() && !finding.file.empty()) std::cout << '/';
    std::cout << escape(finding.file);
    if (finding.position_bytes) std::cout << " at byte " << *finding.position_bytes;
    if (finding.offset) std::cout << ", offset " << finding.offset->value();
    std::cout << ": " << escape(finding.text) << " [" << to_string(finding.kind) << "]\n";
  }
  void on_progress(const VerifyProgress& progress) override {
    using Clock = std::chrono::steady_clock;
    if (!shows_progress_ || Clock::now() < next_) return;
    next_ = Clock::now() + std::chrono::milliseconds(500);
    constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;
    std::cerr << "\r\033[K" << progress.bytes_done / kMebibyte << " of "
              << progress.bytes_total / kMebibyte << " MiB, " << escape(progress.log_name)
              << std::flush;
    shown_ = true;
  }
  void clear_progress() {
    if (shown_) std::cerr << "\r\033[K" << std::flush;
    shown_ = false;
  }

 private:
  const Output output_;
  const bool shows_progress_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point next_{};
};

int print_summary(const VerifySummary& summary, Output output) {
  if (output == Output::json) {
    ItemPrinter(output).print("summary", {{"clean", summary.findings == 0},
                                          {"findings", summary.findings},
                                          {"notes", summary.notes},
                                          {"logs", summary.logs},
                                          {"segments", summary.segments},
                                          {"batches", summary.batches},
                                          {"records", summary.records},
                                          {"bytes", summary.bytes}});
  } else {
    std::cout << "verified " << summary.logs << " logs, " << summary.segments << " segments, "
              << summary.batches << " batches, " << summary.records << " records, " << summary.bytes
              << " bytes: ";
    if (summary.findings == 0) {
      std::cout << "clean";
    } else {
      std::cout << summary.findings << (summary.findings == 1 ? " finding" : " findings");
    }
    if (summary.notes > 0) std::cout << ", " << summary.notes << " notes";
    std::cout << '\n';
  }
  std::cout << std::flush;
  return summary.findings == 0 ? 0 : kExitFailed;
}

int explain_failure(const engine::Error& error, const std::string& path) {
  std::cerr << "keelson: ";
  switch (error.code) {
    case Errc::not_found: std::cerr << path << " is not there\n"; return kExitUsage;
    case Errc::invalid_argument:
      std::cerr << path
                << " is no data directory and no log's directory: name the directory that holds "
                   "meta.properties, or one like orders-0 in it\n";
      return kExitUsage;
    default:
      std::cerr << path << " cannot be listed, errno " << error.sys_errno
                << ": is it a directory, and may you read it?\n";
      return kExitFailed;
  }
}

}  // namespace

Task<int> verify_path(Shard& shard, VerifyCommandOptions options) {
  // Held to the end: a broker that started meanwhile would change what is read.
  const Result<engine::io::File> lock = co_await engine::log::lock_at_rest(shard, options.path);
  if (!lock && !options.live) {
    std::cerr << "keelson: a broker serves " << options.path
              << ": stop it first, for what it writes meanwhile would look like damage; or give "
                 "--live and expect false findings at the ends of logs\n";
    co_return kExitFailed;
  }
  if (!lock) std::cerr << "keelson: a broker serves this directory: findings may be false\n";
  Printer printer(options.output);
  const Result<VerifySummary> summary = co_await engine::log::verify_directory(
      shard, options.path, {.records = options.records}, printer);
  printer.clear_progress();
  if (!summary) co_return explain_failure(summary.error(), options.path);
  co_return print_summary(*summary, options.output);
}

}  // namespace keelson::broker
