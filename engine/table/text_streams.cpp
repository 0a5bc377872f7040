#include "engine/table/text_streams.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "engine/table/datetime.h"
#include "engine/table/distribution_builder.h"
#include "engine/table/number_summary.h"
#include "engine/table/patterns.h"
#include "engine/table/text_hash.h"

namespace doppel {
namespace {

constexpr size_t kMostPatternsCounted = 10'000;
// Of more texts than this a sixteenth, chosen by the hash, gives the patterns' shares.
constexpr int64_t kTextsForPatterns = 1 << 17;
constexpr int64_t kPatternSample = 16;
constexpr size_t kValueSample = 1 << 13;  // of numbers and dates, whose repeats do not matter

template <class Value>
void fill_distribution(const DistributionBuilder<Value>& builder, std::vector<Value>& values, ColumnProfile& profile) {
  for (const auto& [value, count] : builder.items()) {
    values.push_back(value);
    profile.distribution.counts.push_back(count);
  }
  profile.distribution.exact = builder.is_exact();
  if (builder.is_exact()) {
    profile.cleaning.distinct = static_cast<int64_t>(values.size());
    profile.cleaning.distinct_is_exact = true;
  }
  count_outliers(profile);
}

// Keys and free text.
class TextsStream : public TextStream {
 public:
  TextsStream(const ColumnHints& hints, const ColumnLimits& limits)
      : TextStream(hints, limits, 2 * limits.exact_distinct) {
    const bool is_told_key = hints.told != nullptr && hints.told->kind == ColumnKind::kKey;
    if (!is_told_key) sequence_.stop();  // other keys of numbers are found among the numbers
  }

 protected:
  bool take(const Cell& cell, int64_t count) override {
    if (hints_.markers->contains(cell.value)) return false;
    if (sequence_.holds()) sequence_.add(parse_number(cell.value), count);
    if (present_ < kTextsForPatterns)
      count_pattern(cell.value, count);
    else if (cell.hash % kPatternSample == 0)
      count_pattern(cell.value, count * kPatternSample);
    return true;
  }
  void take_other(const Cell&, int64_t) override {}

  bool describe(ColumnSchema& schema, ColumnProfile& profile) override {
    const bool is_key = is_key_of_texts(present_, sample_.has_repeats());
    schema.kind = hints_.told != nullptr ? hints_.told->kind : is_key ? ColumnKind::kKey : ColumnKind::kText;
    if (schema.kind == ColumnKind::kKey && sequence_.holds() && missing_.empty()) {
      profile.key_is_sequence = true;
      profile.first_key = sequence_.first();
    } else {
      take_patterns({patterns_.begin(), patterns_.end()}, profile);
    }
    return true;
  }

 private:
  void count_pattern(std::string_view value, int64_t count) {
    const std::string pattern = pattern_of(value);
    const auto at = patterns_.find(pattern);
    if (at != patterns_.end())
      at->second += count;
    else if (patterns_.size() < kMostPatternsCounted)
      patterns_.emplace(pattern, count);
  }

  std::unordered_map<std::string, int64_t> patterns_;
  Sequence sequence_;
};

class NumbersStream : public TextStream {
 public:
  NumbersStream(const ColumnHints& hints, const ColumnLimits& limits)
      : TextStream(hints, limits, kValueSample),
        quanta_(limits.exact_distinct, limits.sketch_capacity),
        reals_(limits.exact_distinct, limits.sketch_capacity) {}

  NextPass next_pass() const override {
    return {.is_needed = hints_.told == nullptr && (is_broken_ || !summary_.are_numbers()), .stream = nullptr};
  }

 protected:
  bool take(const Cell& cell, int64_t count) override {
    const Number number = parse_number(cell.value);
    if (number.form == NumberForm::kNone) return false;
    summary_.add(number);
    if (sequence_.holds()) sequence_.add(number, count);
    int64_t quanta = 0;
    if (!is_real_ && !fits_quanta(number, quanta)) become_real();
    if (is_real_) {
      reals_.add(real_of(number, cell.value), count);
    } else {
      least_ = std::min(least_, quanta);
      greatest_ = std::max(greatest_, quanta);
      quanta_.add(quanta, count);
    }
    return true;
  }

  void take_other(const Cell& cell, int64_t count) override {
    if (is_infinity(cell.value))
      missing_.add(cell.text, count);
    else
      is_broken_ = true;
  }

  bool describe(ColumnSchema& schema, ColumnProfile& profile) override {
    if (is_broken_ || !summary_.describe(hints_.told, schema)) return false;
    if (schema.kind == ColumnKind::kReal) {
      become_real();
      fill_distribution(reals_, profile.distribution.reals, profile);
      return true;
    }
    if (is_real_) {  // quanta would not fit
      if (hints_.told != nullptr) return false;
      schema.kind = ColumnKind::kReal;
      schema.decimals = 0;
      schema.keeps_trailing_zeros = false;
      fill_distribution(reals_, profile.distribution.reals, profile);
      return true;
    }
    if (hints_.told == nullptr && sequence_.holds() && missing_.empty() && decimals_ == 0 &&
        is_key_sequence(sequence_.first(), present_)) {
      schema.kind = ColumnKind::kKey;
      profile.key_is_sequence = true;
      profile.first_key = sequence_.first();
      return true;
    }
    if (!rescale(schema.kind == ColumnKind::kInteger ? 0 : schema.decimals)) return false;
    fill_distribution(quanta_, profile.distribution.quanta, profile);
    return true;
  }

 private:
  bool fits_quanta(const Number& number, int64_t& quanta) {
    if (number.form == NumberForm::kReal || number.form == NumberForm::kWide) return false;
    if (number.decimals > decimals_ && !rescale(number.decimals)) return false;
    return rescale_quanta(number.quanta, number.decimals, decimals_, quanta);
  }

  // Of all values so far; false where they do not fit.
  bool rescale(int decimals) {
    int64_t least = 0, greatest = 0;
    if (!rescale_quanta(least_, decimals_, decimals, least) ||
        !rescale_quanta(greatest_, decimals_, decimals, greatest))
      return false;
    quanta_ = quanta_.transformed<int64_t>([&](int64_t value) {
      int64_t rescaled = 0;
      rescale_quanta(value, decimals_, decimals, rescaled);
      return rescaled;
    });
    least_ = least;
    greatest_ = greatest;
    decimals_ = decimals;
    return true;
  }

  void become_real() {
    if (is_real_) return;
    is_real_ = true;
    reals_ = quanta_.transformed<double>([&](int64_t value) { return real_of(value, decimals_); });
    quanta_ = DistributionBuilder<int64_t>(0, 0);
  }

  NumberSummary summary_;
  DistributionBuilder<int64_t> quanta_;  // of 10^-decimals_
  DistributionBuilder<double> reals_;    // in place of quanta_ where is_real_
  int decimals_ = 0;
  int64_t least_ = 0, greatest_ = 0;  // of the quanta and 0
  bool is_real_ = false, is_broken_ = false;
  Sequence sequence_;
};

class DatetimesStream : public TextStream {
 public:
  // In the format told.
  DatetimesStream(const ColumnHints& hints, const ColumnLimits& limits, std::string format, TimeUnit unit)
      : TextStream(hints, limits, kValueSample),
        format_(std::move(format)),
        unit_(unit),
        reader_(format_, unit),
        quanta_(limits.exact_distinct, limits.sketch_capacity) {}
  // In the format of the cells that the inference has seen. Other cells may change what these leave open: the order of
  // day and month, leading zeros, the digits of fractions.
  DatetimesStream(const ColumnHints& hints, const ColumnLimits& limits, const DatetimeInference& inference)
      : DatetimesStream(hints, limits, inference.format(), inference.unit()) {
    inference_ = inference;
    is_open_ = inference.is_open();
  }

  NextPass next_pass() const override {
    if (hints_.told != nullptr || !changes()) return {};
    if (!inference_.fits()) return {.is_needed = true, .stream = nullptr};
    return {true, std::make_unique<DatetimesStream>(hints_, limits_, inference_)};
  }

 protected:
  bool take(const Cell& cell, int64_t count) override {
    const std::optional<int64_t> instant = reader_.parse(cell.value);
    if (!instant) return false;
    if (is_open_) inference_.add(cell.value);
    quanta_.add(*instant, count);
    return true;
  }
  void take_other(const Cell& cell, int64_t) override {
    has_others_ = true;
    inference_.add(cell.value);
  }

  bool describe(ColumnSchema& schema, ColumnProfile& profile) override {
    if (has_others_) return false;
    schema.kind = ColumnKind::kDatetime;
    schema.datetime_format = format_;
    schema.unit = unit_;
    if (is_open_ && inference_.is_ambiguous()) profile.cleaning.note = ambiguity_note(format_);
    fill_distribution(quanta_, profile.distribution.quanta, profile);
    return true;
  }

 private:
  bool changes() const {
    return has_others_ ||
           (is_open_ && (!inference_.fits() || inference_.format() != format_ || inference_.unit() != unit_));
  }

  std::string format_;
  TimeUnit unit_;
  DatetimeFormat reader_;
  DatetimeInference inference_;
  bool is_open_ = false, has_others_ = false;
  DistributionBuilder<int64_t> quanta_;
};

bool is_value(const DistinctText& text, const ColumnHints& hints) {
  return !hints.is_missing(text.value);
}

bool are_numbers(const std::vector<DistinctText>& texts, const ColumnHints& hints) {
  NumberSummary summary;
  for (const DistinctText& text : texts) {
    const Number number = parse_number(text.value);
    if (number.form != NumberForm::kNone)
      summary.add(number);
    else if (is_value(text, hints) && !is_infinity(text.value))
      return false;
  }
  return summary.are_numbers();
}

std::unique_ptr<TextStream> make_datetimes(const std::vector<DistinctText>& texts, const ColumnHints& hints,
                                           const ColumnLimits& limits) {
  if (hints.told != nullptr && !hints.told->datetime_format.empty())
    return std::make_unique<DatetimesStream>(hints, limits, hints.told->datetime_format, hints.told->unit);
  DatetimeInference inference;
  for (const DistinctText& text : texts) {
    if (is_value(text, hints) && !inference.add(text.value)) return nullptr;
  }
  if (!inference.fits()) return nullptr;  // an order of short years that later cells would settle is given up
  return std::make_unique<DatetimesStream>(hints, limits, inference);
}

std::unique_ptr<TextStream> make_stream(const std::vector<DistinctText>& texts, const ColumnHints& hints,
                                        const ColumnLimits& limits, bool takes_texts) {
  if (hints.told != nullptr) {
    switch (hints.told->kind) {
      case ColumnKind::kInteger:
      case ColumnKind::kDecimal:
      case ColumnKind::kReal:
        return std::make_unique<NumbersStream>(hints, limits);
      case ColumnKind::kDatetime:
        return make_datetimes(texts, hints, limits);
      case ColumnKind::kKey:
      case ColumnKind::kText:
        return std::make_unique<TextsStream>(hints, limits);
      default:
        return nullptr;
    }
  }
  if (are_numbers(texts, hints)) return std::make_unique<NumbersStream>(hints, limits);
  if (auto datetimes = make_datetimes(texts, hints, limits)) return datetimes;
  return takes_texts ? std::make_unique<TextsStream>(hints, limits) : nullptr;
}

void add_all(const std::vector<DistinctText>& texts, int64_t nulls, TextStream& stream) {
  for (const DistinctText& text : texts) stream.add({text.text, text.value, hash_of(text.text)}, text.count);
  stream.add_nulls(nulls);
}

}  // namespace

void TextStream::add(const Cell& cell, int64_t count) {
  const bool may_be_value = !cell.value.empty() && !hints_.is_told_marker(cell.value);
  if (may_be_value && take(cell, count)) {
    present_ += count;
    const bool is_trimmed = cell.text.size() != cell.value.size();
    if (is_trimmed) trimmed_ += count;
    sample_.add(is_trimmed ? hash_of(cell.value) : cell.hash, count);
  } else if (hints_.is_missing(cell.value)) {
    missing_.add(cell.text, count);
  } else {
    take_other(cell, count);
  }
}

bool TextStream::finish(ColumnSchema& schema, ColumnProfile& profile) {
  profile.present = present_;
  profile.cleaning.trimmed = trimmed_;
  profile.cleaning.distinct = std::min(sample_.distinct(), present_);
  profile.cleaning.distinct_is_exact = sample_.is_exact();
  if (!describe(schema, profile)) return false;
  missing_.describe(schema, profile.cleaning);
  return true;
}

std::unique_ptr<TextStream> make_text_stream(const std::vector<DistinctText>& texts, int64_t nulls,
                                             const ColumnHints& hints, const ColumnLimits& limits, bool takes_texts) {
  std::unique_ptr<TextStream> stream = make_stream(texts, hints, limits, takes_texts);
  if (stream) add_all(texts, nulls, *stream);
  return stream;
}

std::unique_ptr<TextStream> make_stream_of_texts(const std::vector<DistinctText>& texts, int64_t nulls,
                                                 const ColumnHints& hints, const ColumnLimits& limits) {
  auto stream = std::make_unique<TextsStream>(hints, limits);
  add_all(texts, nulls, *stream);
  return stream;
}

}  // namespace doppel
