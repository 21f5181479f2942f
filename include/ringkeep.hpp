// Ringkeep for C++17: the C API with owners, exceptions and iterators. Header only; link with libringkeep.
// Objects are movable and end what they own; a Store may be used from any thread, an Entry, Receipt or Scan from one at
// a time. Operations that complete through a queue are used through ringkeep.h, with the handles that get() gives.
#ifndef RINGKEEP_HPP
#define RINGKEEP_HPP

#include <ringkeep.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ringkeep {

// What went wrong: code() is the number of ringkeep.h, kind() its name ("TIMEOUT"), what() a sentence.
class Error : public std::runtime_error {
 public:
  explicit Error(const rk_error &error) : std::runtime_error(error.message), error_(error) {}
  rk_status code() const noexcept { return error_.code; }
  const char *kind() const noexcept { return rk_status_name(error_.code); }
  // False only if nothing can have been stored.
  bool maybe_applied() const noexcept { return error_.maybe_applied != 0; }
  // Whether the same request may succeed later.
  bool retryable() const noexcept { return error_.retryable != 0; }
  // Timeout and QuorumUnavailable: replicas that had to answer, and that did.
  int needed() const noexcept { return error_.needed; }
  int received() const noexcept { return error_.received; }

 private:
  rk_error error_;
};

// One class for each kind, all of them Errors.
template <rk_status Code>
class ErrorOf : public Error {
 public:
  using Error::Error;
};
using Timeout = ErrorOf<RK_TIMEOUT>;
using QuorumUnavailable = ErrorOf<RK_QUORUM_UNAVAILABLE>;
using InvalidArgument = ErrorOf<RK_INVALID_ARGUMENT>;
using Closed = ErrorOf<RK_CLOSED>;
using Locked = ErrorOf<RK_LOCKED>;
using Forked = ErrorOf<RK_FORKED>;
using Overloaded = ErrorOf<RK_OVERLOADED>;
using Corruption = ErrorOf<RK_CORRUPTION>;
using IoError = ErrorOf<RK_IO>;
using Unauthorized = ErrorOf<RK_UNAUTHORIZED>;
using VersionMismatch = ErrorOf<RK_VERSION_MISMATCH>;
using Canceled = ErrorOf<RK_CANCELED>;
using TooManySiblings = ErrorOf<RK_TOO_MANY_SIBLINGS>;
using StorageFull = ErrorOf<RK_STORAGE_FULL>;
using ClockSkew = ErrorOf<RK_CLOCK_SKEW>;
using PartialFailure = ErrorOf<RK_PARTIAL>;
using Internal = ErrorOf<RK_INTERNAL>;
class NoSuchBucket : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

// What a reader or writer has seen of a key; opaque bytes to put with.
class Context {
 public:
  Context() = default;
  explicit Context(std::string bytes) : bytes_(std::move(bytes)) {}
  const std::string &bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

namespace detail {

inline std::string_view view(rk_bytes bytes) noexcept {
  return bytes.len == 0 ? std::string_view() : std::string_view(static_cast<const char *>(bytes.data), bytes.len);
}

inline rk_bytes bytes(std::string_view text) noexcept { return rk_buf(text.data(), text.size()); }

[[noreturn]] inline void raise(const rk_error &error) {
  switch (error.code) {
    case RK_TIMEOUT: throw Timeout(error);
    case RK_QUORUM_UNAVAILABLE: throw QuorumUnavailable(error);
    case RK_INVALID_ARGUMENT: throw InvalidArgument(error);
    case RK_CLOSED: throw Closed(error);
    case RK_LOCKED: throw Locked(error);
    case RK_FORKED: throw Forked(error);
    case RK_OVERLOADED: throw Overloaded(error);
    case RK_CORRUPTION: throw Corruption(error);
    case RK_IO: throw IoError(error);
    case RK_UNAUTHORIZED: throw Unauthorized(error);
    case RK_VERSION_MISMATCH: throw VersionMismatch(error);
    case RK_CANCELED: throw Canceled(error);
    case RK_NOMEM: throw std::bad_alloc();
    case RK_TOO_MANY_SIBLINGS: throw TooManySiblings(error);
    case RK_STORAGE_FULL: throw StorageFull(error);
    case RK_NO_SUCH_BUCKET: throw NoSuchBucket(error);
    case RK_CLOCK_SKEW: throw ClockSkew(error);
    case RK_PARTIAL: throw PartialFailure(error);
    case RK_INTERNAL: throw Internal(error);
    default: throw Error(error);
  }
}

// Calls a function of the C API with an error to fill; failures become exceptions, outcomes are given back.
template <typename Call>
rk_status check(Call &&call) {
  rk_error error = RK_ERROR_INIT;
  rk_status status = std::forward<Call>(call)(&error);
  if (status < 0) raise(error);
  return status;
}

template <typename T, void (*Free)(T *)>
struct Freeing {
  void operator()(T *object) const noexcept { Free(object); }
};
template <typename T, void (*Free)(T *)>
using Owned = std::unique_ptr<T, Freeing<T, Free>>;

}  // namespace detail

// Every live sibling of a key, and the context that covers them.
class Entry {
 public:
  explicit Entry(rk_entry *entry = nullptr) noexcept : entry_(entry) {}
  // 0 absent, 1 a value, more: a conflict.
  std::size_t size() const noexcept { return rk_entry_count(entry_.get()); }
  bool empty() const noexcept { return size() == 0; }
  bool conflicted() const noexcept { return size() > 1; }
  // Borrowed until the entry ends.
  std::string_view operator[](std::size_t i) const noexcept { return detail::view(rk_entry_value(entry_.get(), i)); }
  std::optional<std::chrono::system_clock::time_point> expires(std::size_t i) const {
    std::int64_t at = rk_entry_expires_ms(entry_.get(), i);
    if (at < 0) return std::nullopt;
    return std::chrono::system_clock::time_point(std::chrono::milliseconds(at));
  }
  std::vector<std::string> siblings() const {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < size(); ++i) all.emplace_back((*this)[i]);
    return all;
  }
  Context context() const { return Context(std::string(detail::view(rk_entry_context(entry_.get())))); }
  rk_entry *get() const noexcept { return entry_.get(); }

 private:
  detail::Owned<rk_entry, rk_entry_free> entry_;
};

// More than one value is live and the bucket's resolver is `siblings`: merge them and put with the context.
class Conflict : public Error {
 public:
  Conflict(const rk_error &error, std::vector<std::string> siblings, Context context)
      : Error(error), siblings_(std::move(siblings)), context_(std::move(context)) {}
  const std::vector<std::string> &siblings() const noexcept { return siblings_; }
  const Context &context() const noexcept { return context_; }

 private:
  std::vector<std::string> siblings_;
  Context context_;
};

namespace detail {
[[noreturn]] inline void conflict(const Entry &entry) {
  rk_error error = RK_ERROR_INIT;
  error.code = RK_CONFLICT;
  std::strcpy(error.message, "the key has several live siblings: read, merge and put with the context");
  throw Conflict(error, entry.siblings(), entry.context());
}
}  // namespace detail

// What a write did.
class Receipt {
 public:
  explicit Receipt(rk_receipt *receipt = nullptr) noexcept : receipt_(receipt) {}
  Context context() const { return Context(std::string(detail::view(rk_receipt_context(receipt_.get())))); }
  int owners() const noexcept { return rk_receipt_owners(receipt_.get()); }
  int fallbacks() const noexcept { return rk_receipt_fallbacks(receipt_.get()); }

 private:
  detail::Owned<rk_receipt, rk_receipt_free> receipt_;
};

enum class Consistency { one = RK_ONE, quorum, all, local_one, local_quorum, each_quorum };

// What a call says; chain what is needed: Options().w(2).timeout(500ms).
class Options {
 public:
  Options &consistency(Consistency level) { return set(raw_.consistency, static_cast<std::int32_t>(level)); }
  Options &r(std::int32_t owners) { return set(raw_.r, owners); }
  Options &w(std::int32_t owners) { return set(raw_.w, owners); }
  Options &sloppy(bool sloppy) { return set(raw_.sloppy, sloppy ? 1 : 0); }
  Options &timeout(std::chrono::milliseconds timeout) { return set(raw_.timeout_ms, std::int64_t{timeout.count()}); }
  // Zero: for ever.
  Options &ttl(std::chrono::milliseconds ttl) { return set(raw_.ttl_ms, std::int64_t{ttl.count()}); }
  Options &context(Context context) {
    context_ = std::move(context);
    return *this;
  }
  // For a call of the C API; lives as long as these options.
  rk_opts raw() const noexcept {
    rk_opts raw = raw_;
    raw.context = detail::bytes(context_.bytes());
    return raw;
  }

 private:
  template <typename T>
  Options &set(T &field, T value) {
    field = value;
    return *this;
  }
  rk_opts raw_ = RK_OPTS_INIT;
  Context context_;
};

// Which keys a scan or count visits, in byte order. Empty texts set no bound.
struct Range {
  std::string prefix, start, end;
  std::int64_t limit = -1;
  rk_range raw() const noexcept {
    rk_range raw = RK_RANGE_ALL;
    raw.prefix = detail::bytes(prefix);
    raw.start = detail::bytes(start);
    raw.end = detail::bytes(end);
    raw.limit = limit;
    return raw;
  }
};

// A stream of keys with their values, for a range-based for. Views are borrowed until the next step.
class Scan {
 public:
  struct Item {
    std::string_view key;
    const rk_entry *entry = nullptr;
    std::size_t size() const noexcept { return rk_entry_count(entry); }
    // Empty when the key is in conflict: then sibling(i) has the values.
    std::string_view value() const noexcept { return size() == 1 ? sibling(0) : std::string_view(); }
    std::string_view sibling(std::size_t i) const noexcept { return detail::view(rk_entry_value(entry, i)); }
    bool conflicted() const noexcept { return size() > 1; }
  };
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    using pointer = const Item *;
    using reference = const Item &;
    Iterator() = default;
    explicit Iterator(Scan *scan) : scan_(scan) { ++*this; }
    reference operator*() const noexcept { return item_; }
    pointer operator->() const noexcept { return &item_; }
    Iterator &operator++() {
      std::optional<Item> item = scan_->next();
      if (item) item_ = *item;
      else scan_ = nullptr;
      return *this;
    }
    bool operator==(const Iterator &other) const noexcept { return scan_ == other.scan_; }
    bool operator!=(const Iterator &other) const noexcept { return scan_ != other.scan_; }

   private:
    Scan *scan_ = nullptr;
    Item item_;
  };
  explicit Scan(rk_iter *iter) noexcept : iter_(iter) {}
  std::optional<Item> next() {
    rk_bytes key;
    Item item;
    rk_status status =
        detail::check([&](rk_error *error) { return rk_iter_next(iter_.get(), &key, &item.entry, error); });
    if (status == RK_END) return std::nullopt;
    item.key = detail::view(key);
    return item;
  }
  Iterator begin() { return Iterator(this); }
  Iterator end() { return Iterator(); }

 private:
  detail::Owned<rk_iter, rk_iter_free> iter_;
};

// A named keyspace of a store.
class Bucket {
 public:
  explicit Bucket(rk_bucket *bucket) noexcept : bucket_(bucket) {}

  // The value that the resolver picks, or none.
  std::optional<std::string> get(std::string_view key, const Options &options = {}) const {
    rk_entry *raw = nullptr;
    rk_opts opts = options.raw();
    rk_status status = detail::check(
        [&](rk_error *error) { return rk_get(bucket_.get(), detail::bytes(key), &opts, &raw, error); });
    Entry entry(raw);
    if (status == RK_NOT_FOUND) return std::nullopt;
    if (status == RK_CONFLICT) detail::conflict(entry);
    return std::string(entry[0]);
  }
  // Every live sibling and the context.
  Entry read(std::string_view key, const Options &options = {}) const {
    rk_entry *raw = nullptr;
    rk_opts opts = options.raw();
    detail::check([&](rk_error *error) { return rk_read(bucket_.get(), detail::bytes(key), &opts, &raw, error); });
    return Entry(raw);
  }
  Receipt put(std::string_view key, std::string_view value, const Options &options = {}) {
    rk_receipt *raw = nullptr;
    rk_opts opts = options.raw();
    detail::check([&](rk_error *error) {
      return rk_put(bucket_.get(), detail::bytes(key), detail::bytes(value), &opts, &raw, error);
    });
    return Receipt(raw);
  }
  // rk_delete, whose name C++ keeps for itself.
  Receipt erase(std::string_view key, const Options &options = {}) {
    rk_receipt *raw = nullptr;
    rk_opts opts = options.raw();
    detail::check([&](rk_error *error) { return rk_delete(bucket_.get(), detail::bytes(key), &opts, &raw, error); });
    return Receipt(raw);
  }
  // Reads every live sibling, lets merge make one value of them (none deletes), and stores it. What merge throws ends the
  // update and is thrown here.
  using Merge = std::function<std::optional<std::string>(const std::vector<std::string> &)>;
  std::optional<std::string> update(std::string_view key, const Merge &merge, const Options &options = {}) {
    Merging merging{&merge, nullptr, std::nullopt};
    rk_opts opts = options.raw();
    try {
      detail::check([&](rk_error *error) {
        return rk_update(bucket_.get(), detail::bytes(key), merge_in_c, &merging, &opts, nullptr, error);
      });
    } catch (const Error &) {
      if (merging.thrown) std::rethrow_exception(merging.thrown);
      throw;
    }
    return merging.value;
  }
  // In the order of the keys. Throws PartialFailure when some failed, conflicts included.
  std::vector<std::optional<std::string>> get_many(const std::vector<std::string> &keys,
                                                   const Options &options = {}) const {
    std::vector<rk_bytes> raw_keys = raws(keys);
    std::vector<rk_entry *> raw(keys.size());
    std::vector<rk_status> each(keys.size());
    rk_opts opts = options.raw();
    rk_error error = RK_ERROR_INIT;
    rk_status status = rk_get_many(bucket_.get(), raw_keys.data(), keys.size(), &opts, raw.data(), each.data(), &error);
    std::vector<Entry> entries;
    for (rk_entry *entry : raw) entries.emplace_back(entry);
    if (status < 0) detail::raise(error);
    std::vector<std::optional<std::string>> values;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (each[i] == RK_CONFLICT) detail::conflict(entries[i]);
      values.push_back(each[i] == RK_OK ? std::optional<std::string>(entries[i][0]) : std::nullopt);
    }
    return values;
  }
  // Throws PartialFailure when some failed.
  void put_many(const std::vector<std::pair<std::string, std::string>> &items, const Options &options = {}) {
    std::vector<rk_bytes> keys, values;
    for (const auto &item : items) {
      keys.push_back(detail::bytes(item.first));
      values.push_back(detail::bytes(item.second));
    }
    rk_opts opts = options.raw();
    detail::check([&](rk_error *error) {
      return rk_put_many(bucket_.get(), keys.data(), values.data(), items.size(), &opts, nullptr, error);
    });
  }
  std::uint64_t count(const Range &range = {}, const Options &options = {}) const {
    std::uint64_t count = 0;
    rk_range raw = range.raw();
    rk_opts opts = options.raw();
    detail::check([&](rk_error *error) { return rk_count(bucket_.get(), &raw, &opts, &count, error); });
    return count;
  }
  Scan scan(const Range &range = {}, const Options &options = {}) const {
    rk_iter *iter = nullptr;
    rk_range raw = range.raw();
    rk_opts opts = options.raw();
    detail::check([&](rk_error *error) { return rk_scan(bucket_.get(), &raw, &opts, &iter, error); });
    return Scan(iter);
  }
  rk_bucket *get() const noexcept { return bucket_.get(); }

 private:
  struct Merging {
    const Merge *merge;
    std::exception_ptr thrown;
    std::optional<std::string> value;
  };
  // No exception crosses into the library: it is kept and thrown again on this side.
  static rk_status merge_in_c(void *user, const rk_entry *siblings, rk_bytes *out) noexcept {
    auto *merging = static_cast<Merging *>(user);
    try {
      std::vector<std::string> values;
      for (std::size_t i = 0; i < rk_entry_count(siblings); ++i) {
        values.emplace_back(detail::view(rk_entry_value(siblings, i)));
      }
      merging->value = (*merging->merge)(values);
      if (!merging->value) return RK_NOT_FOUND;
      void *copy = rk_alloc(merging->value->size());
      if (copy == nullptr) throw std::bad_alloc();
      std::memcpy(copy, merging->value->data(), merging->value->size());
      *out = rk_buf(copy, merging->value->size());
      return RK_OK;
    } catch (...) {
      merging->thrown = std::current_exception();
      return RK_CANCELED;
    }
  }
  static std::vector<rk_bytes> raws(const std::vector<std::string> &texts) {
    std::vector<rk_bytes> raws;
    for (const std::string &text : texts) raws.push_back(detail::bytes(text));
    return raws;
  }
  detail::Owned<rk_bucket, rk_bucket_free> bucket_;
};

// A node or a client, which is also its default bucket. Its end closes it.
class Store : public Bucket {
 public:
  // In memory, one node, no port; options as for rk_open.
  static Store memory(const std::string &options = "") { return open_with(nullptr, options); }
  static Store open(const std::string &path, const std::string &options = "") {
    return open_with(path.c_str(), options);
  }
  static Store connect(const std::string &uri) {
    rk_store *store = nullptr;
    detail::check([&](rk_error *error) { return rk_connect(uri.c_str(), &store, error); });
    return Store(store);
  }
  Bucket bucket(const std::string &name) const { return Bucket(open_bucket(store_.get(), name.c_str())); }
  // Returns once operations can be served.
  void ready() const {
    detail::check([&](rk_error *error) { return rk_ready(store_.get(), -1, error); });
  }
  void ready(std::chrono::milliseconds timeout) const {
    detail::check([&](rk_error *error) { return rk_ready(store_.get(), timeout.count(), error); });
  }
  // Idempotent.
  void close() {
    detail::check([&](rk_error *error) { return rk_close(store_.get(), -1, error); });
  }
  void close(std::chrono::milliseconds timeout) {
    detail::check([&](rk_error *error) { return rk_close(store_.get(), timeout.count(), error); });
  }
  // JSON in, JSON out.
  std::string admin(const std::string &command, const std::string &json = "") const {
    rk_entry *raw = nullptr;
    detail::check(
        [&](rk_error *error) { return rk_admin(store_.get(), command.c_str(), json.c_str(), &raw, error); });
    return std::string(Entry(raw)[0]);
  }
  // Empty for a client; address() also for a node without a port.
  std::string id() const { return text(rk_node_id(store_.get())); }
  std::string address() const { return text(rk_address(store_.get())); }
  rk_store *get_store() const noexcept { return store_.get(); }

 private:
  friend class Cluster;
  explicit Store(rk_store *store) : Store(detail::Owned<rk_store, rk_store_free>(store)) {}
  explicit Store(detail::Owned<rk_store, rk_store_free> store)
      : Bucket(open_bucket(store.get(), nullptr)), store_(std::move(store)) {}
  static Store open_with(const char *path, const std::string &options) {
    rk_store *store = nullptr;
    detail::check([&](rk_error *error) { return rk_open(path, options.c_str(), &store, error); });
    return Store(store);
  }
  static rk_bucket *open_bucket(rk_store *store, const char *name) {
    rk_bucket *bucket = nullptr;
    detail::check([&](rk_error *error) { return rk_bucket_open(store, name, &bucket, error); });
    return bucket;
  }
  static std::string text(const char *text) { return text == nullptr ? std::string() : std::string(text); }
  detail::Owned<rk_store, rk_store_free> store_;
};

}  // namespace ringkeep

#endif
