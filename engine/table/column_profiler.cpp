#include "engine/table/column_profiler.h"

#include <bit>
#include <cmath>
#include <string>
#include <type_traits>

#include "engine/table/cells.h"
#include "engine/table/distribution_builder.h"
#include "engine/table/text_dictionary.h"
#include "engine/table/text_hash.h"
#include "engine/table/text_streams.h"

namespace doppel {
namespace {

constexpr uint64_t kMissingHash = 0x6a09e667f3bcc909ull;

// Numbers and dates with so many distinct texts are taken for what they are cell by cell: their values are counted all
// the same, and faster than texts.
constexpr size_t kLookAhead = 4096;

// Cells are counted by their texts as long as these are few, as most columns' are, so that each is parsed once.
class TextProfiler : public ColumnProfiler {
 public:
  TextProfiler(const ColumnHints& hints, const ColumnLimits& limits) : hints_(hints), limits_(limits) {}

  void add(const RawColumn& column, int64_t rows, uint64_t* row_hashes) override {
    for (int64_t row = 0; row < rows; ++row) {
      if (column.present != nullptr && column.present[row] == 0) {
        add_null();
        mix_hash(row_hashes[row], kMissingHash);
        continue;
      }
      const std::string_view text = column.text(row);
      const uint64_t hash = hash_of(text);
      mix_hash(row_hashes[row], hash);
      add_text(text, hash);
    }
  }

  bool start_second_pass() override {
    if (!stream_) return false;
    NextPass next = stream_->next_pass();
    if (!next.is_needed) return false;
    stream_ = std::move(next.stream);
    are_texts_ = !stream_;
    nulls_ = 0;
    return true;
  }

  bool finish(ColumnSchema& schema, ColumnProfile& profile) override {
    if (has_too_many_) return false;
    return stream_ ? stream_->finish(schema, profile)
                   : infer_from_texts(distinct_texts(), nulls_, hints_, schema, profile);
  }

 private:
  void add_null() {
    if (stream_)
      stream_->add_nulls(1);
    else
      ++nulls_;
  }

  void add_text(std::string_view text, uint64_t hash) {
    if (stream_) return stream_->add({text, trimmed(text), hash}, 1);
    if (has_too_many_) return;
    dictionary_.add(text, hash);
    const size_t distinct = dictionary_.entries().size();
    const bool is_full = distinct > limits_.exact_distinct || dictionary_.bytes() > limits_.text_bytes;
    if (is_full || distinct == kLookAhead) start_stream(is_full);
  }

  void start_stream(bool is_full) {
    if (!is_full && (are_texts_ || hints_.told != nullptr)) return;
    const std::vector<DistinctText> texts = distinct_texts();
    stream_ = are_texts_ ? make_stream_of_texts(texts, nulls_, hints_, limits_)
                         : make_text_stream(texts, nulls_, hints_, limits_, is_full);
    has_too_many_ = is_full && !stream_;
    if (stream_ || has_too_many_) dictionary_ = {};
  }

  std::vector<DistinctText> distinct_texts() const {
    std::vector<DistinctText> texts;
    texts.reserve(dictionary_.entries().size());
    for (const TextDictionary::Entry& entry : dictionary_.entries()) {
      const std::string_view text = dictionary_.text(entry);
      texts.push_back({text, trimmed(text), entry.count});
    }
    return texts;
  }

  ColumnHints hints_;
  ColumnLimits limits_;
  TextDictionary dictionary_;
  std::unique_ptr<TextStream> stream_;  // in place of the dictionary, once that is full
  bool are_texts_ = false;              // as the first pass showed
  bool has_too_many_ = false;           // texts for the kind told
  int64_t nulls_ = 0;
};

// Decimals that doubles or floats need, value by value.
class DecimalsOfReals {
 public:
  explicit DecimalsOfReals(SourceType type) : is_float_(type == SourceType::kFloat32) {}

  void add(double value) {
    if (!fit_ || fits(value, decimals_)) return;
    while (decimals_ < most_decimals()) {
      if (fits(value, ++decimals_)) return;
    }
    fit_ = false;
  }
  // A short decimal number is what each value is the nearest double (float) to.
  bool fit() const { return fit_; }
  int decimals() const { return decimals_; }

 private:
  // Few enough that a measurement with all digits of its type is not taken for a decimal number by chance.
  int most_decimals() const { return is_float_ ? 4 : kMaximumDecimals; }
  double most_quanta() const { return is_float_ ? 1e6 : 1e15; }

  bool fits(double value, int decimals) const {
    const auto power = static_cast<double>(power_of_ten(decimals));
    const double quanta = std::nearbyint(value * power);
    if (!(std::abs(quanta) < most_quanta()) && !(decimals == 0 && quanta == value && std::abs(quanta) < 0x1p53))
      return false;
    const double back = quanta / power;
    return is_float_ ? static_cast<float>(back) == static_cast<float>(value) : back == value;
  }

  bool is_float_, fit_ = true;
  int decimals_ = 0;
};

// Integers, truth values, dates and times, floats and doubles of binary formats.
template <class Value>
class NumberProfiler : public ColumnProfiler {
 public:
  NumberProfiler(const RawField& field, const ColumnHints& hints, const ColumnLimits& limits)
      : field_(field), hints_(hints), builder_(limits.exact_distinct, limits.sketch_capacity), decimals_(field.type) {}

  void add(const RawColumn& column, int64_t rows, uint64_t* row_hashes) override {
    const Value* values = nullptr;
    if constexpr (kIsReal)
      values = column.reals;
    else
      values = column.integers;
    for (int64_t row = 0; row < rows; ++row) {
      bool is_there = column.present == nullptr || column.present[row] != 0;
      if (!is_there) ++nulls_;
      if constexpr (kIsReal) {
        if (is_there && !std::isfinite(values[row])) {
          is_there = false;
          ++(std::isnan(values[row]) ? nans_ : infinities_);
        }
      }
      mix_hash(row_hashes[row], is_there ? std::bit_cast<uint64_t>(values[row]) * 0xff51afd7ed558ccdull : kMissingHash);
      if (is_there) add_value(values[row]);
    }
  }

  bool finish(ColumnSchema& schema, ColumnProfile& profile) override {
    const auto items = builder_.items();
    if (hints_.told != nullptr) {
      if (!infer_as_texts(items, schema, profile)) return false;
    } else {
      describe(items, schema, profile);
    }
    profile.distribution.exact = builder_.is_exact();
    CleaningReport& cleaning = profile.cleaning;
    cleaning.distinct_is_exact = builder_.is_exact();
    if (!builder_.is_exact()) cleaning.distinct = static_cast<int64_t>(builder_.distinct());
    cleaning.missing = nulls_ + nans_ + infinities_;
    if (nulls_ > 0) cleaning.missing_markers.push_back("");
    if (nans_ > 0) cleaning.missing_markers.push_back("NaN");
    if (infinities_ > 0) cleaning.missing_markers.push_back("inf");
    schema.has_missing = cleaning.missing > 0;
    return true;
  }

 private:
  static constexpr bool kIsReal = std::is_same_v<Value, double>;
  using Items = std::vector<std::pair<Value, int64_t>>;

  void add_value(Value value) {
    if constexpr (kIsReal) {
      decimals_.add(value);
    } else {
      sequence_.add(value);
    }
    ++present_;
    builder_.add(value);
  }

  bool is_instant() const { return field_.type == SourceType::kDate32 || field_.type == SourceType::kTimestamp; }

  bool infer_as_texts(const Items& items, ColumnSchema& schema, ColumnProfile& profile) {
    const ColumnKind told = hints_.told->kind;
    if (told == ColumnKind::kDatetime && is_instant()) {
      describe(items, schema, profile);
      return true;
    }
    if (told == ColumnKind::kKey && sequence_.holds() && !kIsReal && nulls_ == 0 && present_ > 0) {
      describe_sequence(schema, profile);
      return true;
    }
    std::vector<std::string> texts;
    texts.reserve(items.size());
    std::vector<DistinctText> distinct;
    for (const auto& [value, count] : items) {
      texts.push_back(typed_text(value, field_.type));
      distinct.push_back({texts.back(), texts.back(), count});
    }
    return infer_from_texts(distinct, nulls_ + nans_ + infinities_, hints_, schema, profile);
  }

  void describe(const Items& items, ColumnSchema& schema, ColumnProfile& profile) {
    profile.present = present_;
    profile.cleaning.distinct = static_cast<int64_t>(items.size());
    if (is_instant()) schema.unit = field_.type == SourceType::kDate32 ? TimeUnit::kDay : field_.unit;
    if (items.empty()) {
      schema.kind = ColumnKind::kEmpty;
    } else if (is_instant()) {  // a constant's text would be a bare number
      schema.kind = ColumnKind::kDatetime;
      fill(items, profile);
    } else if (items.size() == 1 && hints_.told == nullptr) {
      schema.kind = ColumnKind::kConstant;
      schema.levels = {typed_text(items.front().first, field_.type)};
      profile.level_counts = {present_};
    } else if (field_.type == SourceType::kBool) {
      schema.kind = ColumnKind::kBoolean;
      for (const auto& [value, count] : items) {
        schema.levels.push_back(typed_text(value, field_.type));
        profile.level_counts.push_back(count);
      }
    } else if (!kIsReal && sequence_.holds() && nulls_ == 0 && is_key_sequence(sequence_.first(), present_)) {
      describe_sequence(schema, profile);
    } else {
      schema.kind = !decimals_.fit()            ? ColumnKind::kReal
                    : decimals_.decimals() == 0 ? ColumnKind::kInteger
                                                : ColumnKind::kDecimal;
      schema.decimals = schema.kind == ColumnKind::kDecimal ? decimals_.decimals() : 0;
      fill(items, profile, schema.kind == ColumnKind::kReal, schema.decimals);
    }
  }

  void describe_sequence(ColumnSchema& schema, ColumnProfile& profile) const {
    schema.kind = ColumnKind::kKey;
    profile.present = present_;
    profile.cleaning.distinct = present_;
    profile.key_is_sequence = true;
    profile.first_key = sequence_.first();
  }

  void fill(const Items& items, ColumnProfile& profile, bool is_real = false, int decimals = 0) const {
    Distribution& distribution = profile.distribution;
    const auto power = static_cast<double>(power_of_ten(decimals));
    for (const auto& [value, count] : items) {
      if (is_real)
        distribution.reals.push_back(static_cast<double>(value));
      else if constexpr (kIsReal)
        distribution.quanta.push_back(static_cast<int64_t>(std::nearbyint(value * power)));
      else
        distribution.quanta.push_back(value);
      distribution.counts.push_back(count);
    }
    count_outliers(profile);
  }

  RawField field_;
  ColumnHints hints_;
  DistributionBuilder<Value> builder_;
  DecimalsOfReals decimals_;
  int64_t present_ = 0, nulls_ = 0, nans_ = 0, infinities_ = 0;
  Sequence sequence_;
};

}  // namespace

std::unique_ptr<ColumnProfiler> make_column_profiler(const RawField& field, const ColumnHints& hints,
                                                     const ColumnLimits& limits) {
  switch (field.type) {
    case SourceType::kText:
    case SourceType::kString:
      return std::make_unique<TextProfiler>(hints, limits);
    case SourceType::kFloat32:
    case SourceType::kFloat64:
      return std::make_unique<NumberProfiler<double>>(field, hints, limits);
    default:
      return std::make_unique<NumberProfiler<int64_t>>(field, hints, limits);
  }
}

}  // namespace doppel
