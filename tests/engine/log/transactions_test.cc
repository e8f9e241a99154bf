// What readers are told of transactions, by a log that lives, was closed, crashed, or was adopted,
// and with indexes of aborted transactions that are missing or damaged.
#include "engine/log/transactions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <set>

#include "engine/byte_order.h"
#include "engine/log/integrity_sidecar.h"
#include "engine/log/manifest.h"
#include "engine/log/segment.h"
#include "engine/log/verify.h"
#include "tests/engine/log/log_fixture.h"
#include "tests/support/run_on_runtime.h"
#include "tests/support/temp_dir.h"

namespace keelson::engine::log {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

enum class Kind : std::uint8_t { plain, data, commit, abort };

std::vector<std::byte> make_marker(std::int64_t producer, bool abort) {
  std::byte key[4] = {};
  std::byte value[6] = {};
  store_big_endian(key + 2, std::int16_t{abort ? std::int16_t{0} : std::int16_t{1}});
  BatchBuilder builder;
  builder.producer(ProducerId{producer}, ProducerEpoch{0}, kNoSequence).transactional().control();
  builder.add(1'000, Bytes(key), Bytes(value));
  return builder.build();
}

std::vector<std::byte> make_data(std::int64_t producer, std::int32_t sequence, int records) {
  BatchBuilder builder;
  builder.producer(ProducerId{producer}, ProducerEpoch{0}, sequence).transactional();
  for (int i = 0; i < records; ++i) builder.add(1'000, std::nullopt, test::as_bytes("value"));
  return builder.build();
}

/// What was appended, and what follows from it.
struct Model {
  struct Batch {
    Kind kind = Kind::plain;
    std::int64_t producer = -1;
    std::int64_t first = 0;
    std::int64_t last = 0;
    int ends = -1;  // index of the marker; -1 while open
  };
  std::vector<Batch> batches;
  std::int64_t end = 0;

  void add(Kind kind, std::int64_t producer, int records) {
    const int index = static_cast<int>(batches.size());
    if (kind == Kind::commit || kind == Kind::abort) {
      for (Batch& batch : batches) {
        const bool open = batch.kind == Kind::data && batch.ends < 0;
        if (open && batch.producer == producer) batch.ends = index;
      }
    }
    batches.push_back({kind, producer, end, end + records - 1});
    end += records;
  }
  bool has_open(std::int64_t producer) const {
    return std::ranges::any_of(batches, [&](const Batch& batch) {
      return batch.kind == Kind::data && batch.ends < 0 && batch.producer == producer;
    });
  }
  std::int64_t stable(std::int64_t high_watermark) const {
    for (const Batch& batch : batches) {
      if (batch.kind != Kind::data || batch.first >= high_watermark) continue;
      if (batch.ends < 0 || batches[batch.ends].last >= high_watermark) return batch.first;
    }
    return high_watermark;
  }
  bool is_committed(const Batch& batch) const {
    return batch.kind == Kind::plain || (batch.kind == Kind::data && batch.ends >= 0 &&
                                         batches[batch.ends].kind == Kind::commit);
  }
  void cut(std::int64_t offset) {
    while (!batches.empty() && batches.back().last >= offset) batches.pop_back();
    end = batches.empty() ? 0 : batches.back().last + 1;
    for (Batch& batch : batches) {
      if (batch.ends >= static_cast<int>(batches.size())) batch.ends = -1;
    }
  }

  /// The first offsets of the batches in [from, to) that a consumer shows, told of `aborted`
  /// (source: Kafka CompletedFetch).
  std::vector<std::int64_t> shown(std::int64_t from, std::int64_t to,
                                  std::vector<AbortedTransaction> aborted) const {
    std::ranges::sort(aborted, {}, &AbortedTransaction::first_offset);
    std::set<std::int64_t> skipped;
    std::vector<std::int64_t> result;
    std::size_t next = 0;
    for (const Batch& batch : batches) {
      if (batch.last < from || batch.last >= to) continue;
      while (next < aborted.size() && aborted[next].first_offset.value() <= batch.last) {
        skipped.insert(aborted[next++].producer_id.value());
      }
      if (batch.kind == Kind::abort) skipped.erase(batch.producer);
      if (batch.kind == Kind::plain ||
          (batch.kind == Kind::data && !skipped.contains(batch.producer))) {
        result.push_back(batch.first);
      }
    }
    return result;
  }
  std::vector<std::int64_t> committed(std::int64_t from, std::int64_t to) const {
    std::vector<std::int64_t> result;
    for (const Batch& batch : batches) {
      if (batch.last >= from && batch.last < to && is_committed(batch)) {
        result.push_back(batch.first);
      }
    }
    return result;
  }
};

struct Told : VerifyObserver {
  void on_finding(const Finding& finding) override {
    if (!finding.is_note) texts.push_back(finding.file + " " + finding.text);
  }
  void on_progress(const VerifyProgress&) override {}
  std::vector<std::string> texts;
};

class LogTransactions : public testing::Test {
 protected:
  static LogConfig small_segments() {
    LogConfig config;
    config.segment_bytes = 1'500;
    config.index_interval_bytes = 300;
    return config;
  }

  /// Appends `steps` random batches of three producers.
  Task<void> append_some(Log& log, int steps) {
    for (int i = 0; i < steps; ++i) {
      const auto producer = static_cast<std::int64_t>(random_() % 3);
      const unsigned dice = random_() % 10;
      const int records = 1 + static_cast<int>(random_() % 4);
      std::vector<std::byte> batch;
      if (dice < 2) {
        batch = test::make_batch("plain", records);
        model_.add(Kind::plain, -1, records);
      } else if (dice < 7) {
        batch = make_data(producer, sequences_[producer], records);
        sequences_[producer] += records;
        model_.add(Kind::data, producer, records);
      } else {
        const bool abort = random_() % 3 != 0;
        batch = make_marker(producer, abort);
        model_.add(abort ? Kind::abort : Kind::commit, producer, 1);
      }
      const Result<AppendResult> appended = co_await log.append(batch, LeaderEpoch{5});
      EXPECT_TRUE(appended.has_value());
    }
  }

  /// Every pair of a start and an end gives a reader just what is committed.
  Task<void> check(Log& log) {
    const std::int64_t end = model_.end;
    EXPECT_EQ(log.log_end_offset().value(), end);
    const std::int64_t stable = model_.stable(end);
    const std::int64_t start = log.log_start_offset().value();
    EXPECT_EQ(log.last_stable_offset(Offset{end}).value(), std::max(stable, start));
    for (int i = 0; i < 60; ++i) {
      std::int64_t from = start + static_cast<std::int64_t>(random_() % (end - start + 1));
      std::int64_t to = start + static_cast<std::int64_t>(random_() % (end - start + 1));
      if (i == 0) from = start, to = stable;
      if (from > to) std::swap(from, to);
      to = std::min(to, stable);
      from = std::min(from, to);
      const auto aborted = co_await log.aborted_transactions(Offset{from}, Offset{to});
      EXPECT_TRUE(aborted.has_value());
      if (!aborted) co_return;
      EXPECT_EQ(model_.shown(from, to, *aborted), model_.committed(from, to))
          << "from " << from << " to " << to;
    }
  }

  /// Opens a copy of the log after `change` was done to it, checks it, and closes it.
  std::vector<std::string> reopen(const std::string& from, OpenHints hints,
                                  const std::function<void(const fs::path&)>& change = {}) {
    const std::string dir = root_ / ("copy-" + std::to_string(++copies_) + "/orders-3");
    copy_files(from, dir);
    if (change) change(dir);
    return test::run_on_runtime(
        [&](io::Shard& shard) { return open_and_check(shard, dir, hints); });
  }
  Task<std::vector<std::string>> open_and_check(io::Shard& shard, std::string dir,
                                                OpenHints hints) {
    LogContext context(shard, {.disk_reserve_bytes = 0});
    Result<std::unique_ptr<Log>> log =
        co_await Log::open(context, dir, test::kIdentity, small_segments(), hints);
    EXPECT_TRUE(log.has_value());
    if (!log) co_return std::vector<std::string>{};
    co_await check(**log);
    std::vector<std::string> findings = (*log)->recovery().findings;
    const Result<void> closed = co_await (*log)->close();
    EXPECT_TRUE(closed.has_value());
    Told told;
    const Result<VerifySummary> summary = co_await verify_directory(shard, dir, {}, told);
    EXPECT_TRUE(summary.has_value());
    EXPECT_THAT(told.texts, IsEmpty());
    co_return std::move(findings);
  }

  Told verify(const std::string& dir) {
    Told told;
    const auto summary = test::run_on_runtime(
        [&](io::Shard& shard) { return verify_directory(shard, dir, {}, told); });
    EXPECT_TRUE(summary.has_value());
    return told;
  }

  /// As they are now: one that is being replaced may be in neither place.
  static void copy_files(const fs::path& from, const fs::path& to) {
    fs::create_directories(to);
    for (const auto& entry : fs::directory_iterator(from)) {
      std::error_code gone;
      fs::copy_file(entry.path(), to / entry.path().filename(), gone);
    }
  }
  static std::vector<fs::path> files(const fs::path& dir, const std::string& ending) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(dir)) {
      if (entry.path().extension() == ending) found.push_back(entry.path());
    }
    std::ranges::sort(found);
    return found;
  }
  static void forget_ours(const fs::path& dir) {
    fs::remove(dir / "keelson.manifest");
    for (const fs::path& file : files(dir, ".integrity")) fs::remove(file);
  }
  static void forget_indexes(const fs::path& dir) {
    for (const fs::path& file : files(dir, ".txnindex")) fs::remove(file);
  }
  static std::string content_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void flip(const fs::path& path, std::size_t at) {
    std::string content = content_of(path);
    content.at(at) = static_cast<char>(content.at(at) ^ 0x04);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }

  /// A closed log in `closed_`, and what a crash before that would have left in `crashed_`.
  void make_log(int steps) {
    test::run_on_runtime([&](io::Shard& shard) { return write(shard, steps); });
    ASSERT_FALSE(files(closed_, ".txnindex").empty());
  }
  Task<void> write(io::Shard& shard, int steps) {
    LogContext context(shard, {.disk_reserve_bytes = 0, .sidecar_delay_ms = 1});
    Result<std::unique_ptr<Log>> log =
        co_await Log::open(context, closed_, test::kIdentity, small_segments(), {});
    EXPECT_TRUE(log.has_value());
    co_await append_some(**log, steps);
    co_await check(**log);
    copy_files(closed_, crashed_);
    const Result<void> closed = co_await (*log)->close();
    EXPECT_TRUE(closed.has_value());
  }

  /// Cuts the end off the closed log and appends to what is left, several times.
  Task<void> cut_and_go_on(io::Shard& shard) {
    LogContext context(shard, {.disk_reserve_bytes = 0});
    Result<std::unique_ptr<Log>> log =
        co_await Log::open(context, closed_, test::kIdentity, small_segments(), kClean);
    EXPECT_TRUE(log.has_value());
    for (int round = 0; round < 5; ++round) {
      const Offset at{model_.batches[model_.batches.size() * 3 / 4].first};
      const Result<void> cut = co_await (*log)->truncate_suffix(at);
      EXPECT_TRUE(cut.has_value());
      model_.cut(at.value());
      co_await check(**log);
      std::ranges::fill(sequences_, 0);
      for (const Log::ProducerInfo& info : (*log)->producers()) {
        sequences_[info.id.value()] = info.last_sequence + 1;
      }
      co_await append_some(**log, 20);
      co_await check(**log);
    }
    const Result<void> closed = co_await (*log)->close();
    EXPECT_TRUE(closed.has_value());
  }

  /// Moves the start of the closed log to its middle.
  Task<void> advance_start(io::Shard& shard) {
    LogContext context(shard, {.disk_reserve_bytes = 0});
    Result<std::unique_ptr<Log>> log =
        co_await Log::open(context, closed_, test::kIdentity, small_segments(), kClean);
    EXPECT_TRUE(log.has_value());
    const Result<void> moved = co_await (*log)->advance_start(Offset{model_.end / 2});
    EXPECT_TRUE(moved.has_value());
    co_await check(**log);
    const Result<void> closed = co_await (*log)->close();
    EXPECT_TRUE(closed.has_value());
  }

  const unsigned seed_ = std::random_device{}();
  std::mt19937 random_{seed_};
  testing::ScopedTrace trace_{__FILE__, __LINE__, "seed " + std::to_string(seed_)};
  Model model_;
  std::int32_t sequences_[3] = {};
  int copies_ = 0;
  test::TempDir root_;
  const std::string closed_ = root_ / "orders-3";
  const std::string crashed_ = root_ / "crashed";
  static constexpr OpenHints kClean{.clean_stop = true};
};

TEST_F(LogTransactions, ReadersSkipWhatWasAborted) {
  make_log(200);
  const auto believed = reopen(closed_, kClean);
  EXPECT_THAT(believed, Not(Contains(HasSubstr("made again"))));
  reopen(closed_, {});
  reopen(crashed_, {});
}

TEST_F(LogTransactions, AnAdoptedLogHasItsIndexesOrMakesThem) {
  make_log(200);
  const auto whole = reopen(closed_, kClean, forget_ours);
  EXPECT_THAT(whole, Not(Contains(HasSubstr("aborted transactions"))));
  const auto bare = reopen(closed_, kClean, [](const fs::path& dir) {
    forget_ours(dir);
    forget_indexes(dir);
  });
  EXPECT_THAT(bare, Contains(HasSubstr("is missing; made again")));
  const auto garbled = reopen(closed_, kClean, [](const fs::path& dir) {
    forget_ours(dir);
    const fs::path file = files(dir, ".txnindex").front();
    fs::resize_file(file, fs::file_size(file) - 1);
  });
  EXPECT_THAT(garbled, Contains(HasSubstr("is garbled; made again")));
}

TEST_F(LogTransactions, MissingIndexesAreNoticedAndMadeAgain) {
  make_log(200);
  const auto findings = reopen(closed_, kClean, forget_indexes);
  EXPECT_THAT(findings, Contains(HasSubstr("is missing; made again")));
  reopen(crashed_, {}, forget_indexes);
  const auto blind = reopen(closed_, kClean, [](const fs::path& dir) {
    forget_indexes(dir);
    for (const fs::path& file : files(dir, ".snapshot")) fs::remove(file);
    for (const fs::path& file : files(dir, ".integrity")) fs::remove(file);
  });
  EXPECT_THAT(blind, Contains(HasSubstr("is missing; made again")));
}

TEST_F(LogTransactions, EveryDamagedByteIsNoticed) {
  make_log(60);
  const fs::path first = files(closed_, ".txnindex").front();
  const std::string name = first.filename();
  const std::string content = content_of(first);
  for (std::size_t at = 0; at < std::min<std::size_t>(content.size(), 34); ++at) {
    for (const bool adopted : {false, true}) {
      const auto findings = reopen(closed_, kClean, [&](const fs::path& dir) {
        if (adopted) forget_ours(dir);
        flip(dir / name, at);
      });
      // Adoption has no checksum: what may stand there in an index of Kafka's is taken.
      const bool harmless = adopted && at % 34 >= 26;
      if (!harmless) EXPECT_THAT(findings, Contains(HasSubstr("made again"))) << at << adopted;
    }
  }
}

TEST_F(LogTransactions, AnIndexThatNobodyKnowsOfIsNotBelieved) {
  test::run_on_runtime([&](io::Shard& shard) { return write(shard, 1); });
  std::string stray;
  append_entry(stray, TransactionIndexEntry{ProducerId{1}, Offset{0}, Offset{1}, Offset{2}});
  const fs::path file = fs::path(closed_) / "00000000000000000000.txnindex";
  std::ofstream(file, std::ios::binary) << stray;
  EXPECT_THAT(verify(closed_).texts, Contains(HasSubstr("txnindex")));
  const auto findings = reopen(closed_, kClean);
  EXPECT_THAT(findings, Contains(HasSubstr("the manifest knows of none")));
}

// Entries and a manifest as they were made before either knew of transactions.
TEST_F(LogTransactions, OlderSideFilesAreNotTakenForNoTransactions) {
  make_log(200);
  const auto make_older = [](const fs::path& dir) {
    Manifest manifest = decode_manifest(content_of(dir / "keelson.manifest")).value();
    for (ManifestSegment& segment : manifest.segments) {
      segment.aborted_count = segment.aborted_crc = 0;
      const fs::path file = dir / (segment_stem(segment.base_offset) + ".integrity");
      const std::uint32_t seed = integrity_seed(test::kIdentity, segment.base_offset);
      std::string content = content_of(file);
      std::string older;
      std::uint32_t chain = seed;
      std::uint32_t older_chain = seed;
      for (std::size_t at = 0; at < content.size(); at += kIntegrityEntryBytes) {
        const Bytes bytes = std::as_bytes(std::span(content)).subspan(at);
        IntegrityEntry entry = read_integrity_entry(bytes, chain).value();
        chain = entry.chain;
        entry.transactional = false;
        older_chain = chain_integrity_entry(entry, entry.durable_upto_bytes, older_chain);
        append_integrity_entry(older, entry);
      }
      segment.last_chain = older_chain;
      std::ofstream(file, std::ios::binary | std::ios::trunc) << older;
    }
    std::ofstream(dir / "keelson.manifest", std::ios::binary | std::ios::trunc)
        << encode_manifest(manifest);
  };
  const auto findings = reopen(closed_, kClean, make_older);
  EXPECT_THAT(findings, Contains(HasSubstr("the manifest knows of none")));
  EXPECT_THAT(findings, Not(Contains(HasSubstr("integrity"))));
  reopen(closed_, {}, make_older);
}

TEST_F(LogTransactions, VerificationNamesWhatIsWrong) {
  make_log(100);
  EXPECT_THAT(verify(closed_).texts, IsEmpty());
  const fs::path first = files(closed_, ".txnindex").front();
  const std::string sound = content_of(first);
  flip(first, 9);  // another producer
  EXPECT_THAT(verify(closed_).texts, Contains(HasSubstr("not the one that the manifest names")));
  forget_ours(closed_);
  EXPECT_THAT(verify(closed_).texts, Contains(HasSubstr("does not say what the batches do")));
  fs::remove(first);
  EXPECT_THAT(verify(closed_).texts, Contains(HasSubstr("were aborted in this segment")));
  std::ofstream(first, std::ios::binary) << sound;
  EXPECT_THAT(verify(closed_).texts, IsEmpty());
}

TEST_F(LogTransactions, WhatIsLeftOpenIsReported) {
  make_log(100);
  const auto findings = reopen(closed_, kClean);
  for (std::int64_t producer = 0; producer < 3; ++producer) {
    const std::string text = "the transaction of producer " + std::to_string(producer) + " that";
    const auto told = Contains(HasSubstr(text));
    if (model_.has_open(producer)) {
      EXPECT_THAT(findings, told);
    } else {
      EXPECT_THAT(findings, Not(told));
    }
  }
}

TEST_F(LogTransactions, CuttingTheEndOpensThemAgain) {
  make_log(150);
  test::run_on_runtime([&](io::Shard& shard) { return cut_and_go_on(shard); });
  reopen(closed_, kClean);
}

TEST_F(LogTransactions, RetentionKeepsWhatTheRestNeeds) {
  make_log(200);
  test::run_on_runtime([&](io::Shard& shard) { return advance_start(shard); });
  const auto believed = reopen(closed_, kClean);
  EXPECT_THAT(believed, Not(Contains(HasSubstr("made again"))));
}

// A reader above the watermark that the marker has not passed yet sees nothing of its transaction.
TEST(Transactions, AMarkerCountsOnceItIsBelowTheWatermark) {
  Transactions transactions;
  const auto note = [&](std::vector<std::byte> batch, std::int64_t base) {
    batch = test::stamped(std::move(batch), base, 0);
    return transactions.note(read_batch_header(batch).value(), batch);
  };
  EXPECT_FALSE(note(make_data(1, 0, 5), 0));
  EXPECT_FALSE(note(make_data(2, 0, 5), 5));
  EXPECT_EQ(transactions.first_unstable(Offset{10}), Offset{0});
  const TransactionIndexEntry first{ProducerId{1}, Offset{0}, Offset{10}, Offset{5}};
  EXPECT_EQ(note(make_marker(1, true), 10), first);
  EXPECT_EQ(transactions.first_unstable(Offset{10}), Offset{0});
  EXPECT_EQ(transactions.first_unstable(Offset{11}), Offset{5});
  EXPECT_FALSE(note(make_marker(1, true), 11));  // ends nothing
  EXPECT_FALSE(note(make_marker(2, false), 12));
  EXPECT_EQ(transactions.first_unstable(Offset{12}), Offset{5});
  EXPECT_EQ(transactions.first_unstable(Offset{13}), std::nullopt);
}

// Markers that nobody asks about do not pile up; what is forgotten of them errs to the safe side.
TEST(Transactions, ManyUndecidedOnesKeepTheOldest) {
  Transactions transactions;
  for (int i = 0; i < 5'000; ++i) {
    const auto data = test::stamped(make_data(1, i, 1), 2 * i, 0);
    transactions.note(read_batch_header(data).value(), data);
    const auto marker = test::stamped(make_marker(1, false), 2 * i + 1, 0);
    transactions.note(read_batch_header(marker).value(), marker);
  }
  EXPECT_EQ(transactions.first_unstable(Offset{0}), Offset{0});
  EXPECT_EQ(transactions.first_unstable(Offset{9'999}), Offset{9'998});
  EXPECT_EQ(transactions.first_unstable(Offset{10'000}), std::nullopt);
}

TEST(Transactions, AnIndexMayKnowMoreOnlyOfWhatIsGone) {
  const TransactionIndexEntry gone{ProducerId{1}, Offset{10}, Offset{30}, Offset{31}};
  const TransactionIndexEntry one{ProducerId{2}, Offset{25}, Offset{40}, Offset{41}};
  const TransactionIndexEntry two{ProducerId{3}, Offset{45}, Offset{50}, Offset{51}};
  using Entries = std::vector<TransactionIndexEntry>;
  const auto same = [](Entries file, Entries found, bool compacted = false) {
    return is_index_of(file, found, Offset{20}, compacted);
  };
  EXPECT_TRUE(same({}, {}));
  EXPECT_TRUE(same({one, two}, {one, two}));
  EXPECT_TRUE(same({gone, one}, {one}));
  EXPECT_FALSE(same({one}, {one, two}));
  EXPECT_FALSE(same({}, {one}));
  EXPECT_FALSE(same({one, two}, {one}));
  EXPECT_TRUE(same({one, two}, {one}, true));
  TransactionIndexEntry changed = one;
  changed.first_offset = Offset{24};
  EXPECT_FALSE(same({changed}, {one}));
  EXPECT_TRUE(same({changed}, {one}, true));
  changed.first_offset = Offset{26};
  EXPECT_FALSE(same({changed}, {one}, true));
  changed = one;
  changed.last_stable_offset = Offset{42};
  EXPECT_FALSE(same({changed}, {one}));
  changed = one;
  changed.producer_id = ProducerId{9};
  EXPECT_FALSE(same({changed}, {one}));
}

}  // namespace
}  // namespace keelson::engine::log
