#include "coordination/local/coordinator_local.h"

#include <algorithm>
#include <span>
#include <utility>

#include "engine/io/random_uuid.h"
#include "engine/logger.h"

namespace keelson::coordination {

using engine::concat;
using engine::Errc;
using engine::Error;
using engine::Result;
using engine::Task;

namespace {

constexpr std::string_view kComponent = "coordinator";

engine::Bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::unexpected<ApiError> storage_error(std::string message) {
  return refuse(ApiErrc::kafka_storage_error, std::move(message));
}

std::string describe(const Error& error) {
  std::string text{engine::to_string(error.code)};
  if (error.sys_errno != 0) text += concat(" (errno ", error.sys_errno, ")");
  return text;
}

}  // namespace

CoordinatorLocal::CoordinatorLocal(engine::io::Shard& shard, LocalOptions options)
    : shard_(shard), options_(std::move(options)), turn_(shard, 1) {}

CoordinatorLocal::~CoordinatorLocal() = default;

Task<ApiResult<void>> CoordinatorLocal::open() {
  // A compaction that a crash interrupted leaves its half-written file; the old one is whole.
  const Result<void> cleaned = co_await engine::io::unlink(shard_, options_.path + ".tmp");
  if (!cleaned && cleaned.error().code != Errc::not_found) {
    co_return storage_error(
        concat(options_.path, ".tmp cannot be removed: ", describe(cleaned.error())));
  }
  const Result<engine::io::FileStat> found = co_await engine::io::stat(shard_, options_.path);
  if (!found && found.error().code != Errc::not_found) {
    co_return storage_error(concat(options_.path, ": ", describe(found.error())));
  }
  if (found) {
    const ApiResult<void> loaded = co_await load(found->size_bytes);
    if (!loaded) co_return loaded;
  } else {
    const Result<void> made = co_await switch_file();
    if (!made) {
      co_return storage_error(concat(options_.path, " cannot be made: ", describe(made.error())));
    }
  }
  const Result<void> ended = co_await end_leases();
  if (!ended) co_return storage_error(concat(options_.path, ": ", describe(ended.error())));
  open_ = true;
  co_return ApiResult<void>{};
}

Task<ApiResult<void>> CoordinatorLocal::load(std::uint64_t size_bytes) {
  Result<std::string> content =
      co_await engine::io::read_file(shard_, options_.path, kJournalBytesMax);
  if (!content) {
    co_return storage_error(concat(options_.path, " (", size_bytes,
                                   " bytes) cannot be read: ", describe(content.error())));
  }
  JournalScan scan = scan_journal(*content);
  if (scan.verdict == JournalVerdict::unsupported) {
    co_return storage_error(concat(options_.path, " is ", scan.what, "; use that version"));
  }
  if (scan.verdict == JournalVerdict::corrupt) {
    co_return storage_error(
        concat(options_.path, " is damaged at byte ", scan.damage_bytes, " of ", content->size(),
               ": ", scan.what,
               ". It holds the cluster's topics and settings; nothing was changed. Restore it from "
               "a backup of this directory. To start without it, move it away: partitions on disk "
               "are then reported and kept, but not served"));
  }
  Result<engine::io::File> file =
      co_await engine::io::File::open(shard_, options_.path, engine::io::OpenFlags{.write = true});
  if (!file) {
    co_return storage_error(concat(options_.path, ": ", describe(file.error())));
  }
  if (scan.verdict == JournalVerdict::torn_tail) {
    const Result<void> cut = co_await file->truncate(scan.end_bytes);
    Result<void> synced = cut;
    if (cut) synced = co_await file->sync_data();
    if (!synced) {
      co_return storage_error(concat(options_.path, " cannot be cut: ", describe(synced.error())));
    }
    shard_.logger().write(
        engine::LogLevel::info, kComponent,
        concat(options_.path, ": cut ", content->size() - scan.end_bytes,
               " bytes of a change that a crash interrupted and that was never answered"));
  }
  file_ = std::move(*file);
  file_id_ = scan.file_id;
  map_ = std::move(scan.map);
  end_bytes_ = scan.end_bytes;
  co_return ApiResult<void>{};
}

Task<Result<void>> CoordinatorLocal::end_leases() {
  std::vector<KeyWrite> removals;
  for (const auto& [key, stored] : map_.entries()) {
    if (stored.leased) removals.push_back(KeyWrite{.key = key, .value = std::nullopt});
  }
  for (std::size_t first = 0; first < removals.size(); first += kCommitOperationsMax) {
    const std::size_t last = std::min(removals.size(), first + kCommitOperationsMax);
    std::vector<KeyWrite> some(removals.begin() + static_cast<std::ptrdiff_t>(first),
                               removals.begin() + static_cast<std::ptrdiff_t>(last));
    const Result<KeyVersion> done = co_await commit_alone({}, std::move(some));
    if (!done) co_return std::unexpected(done.error());
  }
  co_return Result<void>{};
}

Task<void> CoordinatorLocal::stop() {
  (void)co_await turn_.take(1);
  if (open_ && !failure_) co_await write_mark(/*durable=*/true);
  open_ = false;
  file_.close();
  hub_.close();
  turn_.give(1);
}

Result<void> CoordinatorLocal::usable() const {
  if (failure_) return std::unexpected(*failure_);
  if (!open_) return engine::fail(Errc::closed);
  return {};
}

Task<Result<std::vector<KeyValue>>> CoordinatorLocal::list(std::string prefix) {
  const Result<void> ready = usable();
  if (!ready) co_return std::unexpected(ready.error());
  co_return map_.list(prefix);
}

Task<Result<std::optional<KeyValue>>> CoordinatorLocal::get(std::string key) {
  const Result<void> ready = usable();
  if (!ready) co_return std::unexpected(ready.error());
  co_return map_.get(key);
}

Task<Result<KeyVersion>> CoordinatorLocal::commit(std::vector<Compare> compares,
                                                  std::vector<KeyWrite> writes) {
  (void)co_await turn_.take(1);
  const Result<void> ready = usable();  // Only now: the one before may have failed or stopped it.
  Result<KeyVersion> done = 0;
  if (!ready) {
    done = std::unexpected(ready.error());
  } else {
    done = co_await commit_alone(std::move(compares), std::move(writes));
  }
  turn_.give(1);
  co_return done;
}

Task<Result<KeyVersion>> CoordinatorLocal::commit_alone(std::vector<Compare> compares,
                                                        std::vector<KeyWrite> writes) {
  const Result<void> acceptable = map_.check(compares, writes);
  if (!acceptable) co_return std::unexpected(acceptable.error());

  const std::string frame = encode_transaction(file_id_, end_bytes_, map_.version() + 1, writes);
  if (frame.size() > kJournalBytesMax - std::min<std::uint64_t>(end_bytes_, kJournalBytesMax)) {
    co_return engine::fail(Errc::no_space);  // compaction has failed for long
  }
  const Result<void> written = co_await file_.write_at(end_bytes_, bytes_of(frame), true);
  if (!written) {
    const Error answer = co_await write_failed(written.error());
    co_return std::unexpected(answer);
  }

  // Only now: nobody may read or be told what a crash could take back.
  end_bytes_ += frame.size();
  const std::vector<KeyEvent> events = map_.apply(writes);
  const KeyVersion version = map_.version();
  co_await write_mark(/*durable=*/false);
  hub_.tell(events);
  co_await compact_if_large();
  co_return version;
}

/// What a commit answers whose write failed with `error`.
Task<Error> CoordinatorLocal::write_failed(Error error) {
  if (error.code == Errc::no_space) {
    const Result<void> cut = co_await file_.truncate(end_bytes_);
    Result<void> synced = cut;
    if (cut) synced = co_await file_.sync_data();
    if (synced) co_return error;
  }
  failure_ = Error{Errc::io, error.sys_errno};
  shard_.logger().write(engine::LogLevel::error, kComponent,
                        concat(options_.path, ": a write failed: ", describe(error),
                               "; no change is taken until the broker is started again"));
  co_return Error{Errc::outcome_unknown, error.sys_errno};
}

Task<void> CoordinatorLocal::write_mark(bool durable) {
  const std::string mark = encode_mark(file_id_, end_bytes_, map_.version());
  const Result<void> written = co_await file_.write_at(end_bytes_, bytes_of(mark), durable);
  // Only a witness is missing then; but an I/O error says that the file is not to be trusted.
  if (!written && written.error().code != Errc::no_space) {
    failure_ = Error{Errc::io, written.error().sys_errno};
  }
}

Task<void> CoordinatorLocal::compact_if_large() {
  const std::size_t wanted =
      options_.compact_floor_bytes + options_.compact_factor * map_.state_bytes();
  if (failure_ || end_bytes_ < wanted || end_bytes_ < compact_at_) co_return;
  const Result<void> switched = co_await switch_file();
  if (switched) {
    compact_at_ = 0;
  } else if (switched.error().code == Errc::no_space) {
    compact_at_ = end_bytes_ + end_bytes_ / 4;  // try again later
  } else {
    failure_ = Error{Errc::io, switched.error().sys_errno};
  }
}

Task<Result<void>> CoordinatorLocal::switch_file() {
  const engine::Uuid file_id = engine::io::random_uuid(shard_.rng());
  std::string content = encode_journal(file_id, map_);
  const std::uint64_t size_bytes = content.size();
  const std::string temporary = options_.path + ".tmp";

  const Result<void> written = co_await write_whole(temporary, std::move(content));
  if (!written) {
    // The old file was not touched: any failure to make a new one is only a failure to shrink.
    const Result<void> removed = co_await engine::io::unlink(shard_, temporary);
    (void)removed;  // the next attempt truncates it
    co_return engine::fail(Errc::no_space, written.error().sys_errno);
  }
  Result<engine::io::File> file =
      co_await engine::io::File::open(shard_, temporary, engine::io::OpenFlags{.write = true});
  if (!file) co_return engine::fail(Errc::no_space, file.error().sys_errno);
  const Result<void> renamed = co_await engine::io::rename(shard_, temporary, options_.path);
  if (!renamed) co_return engine::fail(Errc::io, renamed.error().sys_errno);
  const Result<void> synced =
      co_await engine::io::sync_dir(shard_, engine::io::parent_of(options_.path));
  if (!synced) co_return engine::fail(Errc::io, synced.error().sys_errno);

  file_ = std::move(*file);
  file_id_ = file_id;
  end_bytes_ = size_bytes;
  co_return Result<void>{};
}

Task<Result<void>> CoordinatorLocal::write_whole(std::string path, std::string content) {
  Result<engine::io::File> file = co_await engine::io::File::open(
      shard_, std::move(path),
      engine::io::OpenFlags{.write = true, .create = true, .truncate = true});
  if (!file) co_return std::unexpected(file.error());
  const Result<void> written = co_await file->write_at(0, bytes_of(content));
  if (!written) co_return written;
  co_return co_await file->sync_data();
}

std::unique_ptr<Coordinator::Watch> CoordinatorLocal::watch(std::string prefix,
                                                            WatchCallback callback) {
  return hub_.watch(std::move(prefix), std::move(callback));
}

}  // namespace keelson::coordination
