#include "engine/table/text_inference.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>

#include "engine/table/datetime.h"
#include "engine/table/missing_cells.h"
#include "engine/table/number_summary.h"
#include "engine/table/patterns.h"

namespace doppel {
namespace {

constexpr int64_t kSequenceRows = 20, kLongSequenceRows = 1000;
constexpr int64_t kKeyRows = 10;
constexpr size_t kFewLevels = 20, kMostLevels = 10'000;
constexpr int64_t kRowsPerLevel = 4;
constexpr size_t kMostPatterns = 1000;
constexpr double kAlikeLevels = 0.9;

// A level's spellings, which differ by the blanks around it.
struct Level {
  std::string_view value;
  std::string_view text;  // the most frequent spelling
  int64_t count = 0;      // of all spellings
};

std::vector<Level> merge_spellings(std::vector<DistinctText> texts) {
  std::sort(texts.begin(), texts.end(), [](const DistinctText& a, const DistinctText& b) {
    if (a.value != b.value) return a.value < b.value;
    return a.count != b.count ? a.count > b.count : a.text < b.text;
  });
  std::vector<Level> levels;
  for (const DistinctText& text : texts) {
    if (levels.empty() || levels.back().value != text.value) levels.push_back({text.value, text.text, 0});
    levels.back().count += text.count;
  }
  return levels;
}

class Inference {
 public:
  Inference(const std::vector<DistinctText>& texts, int64_t nulls, const ColumnHints& hints, ColumnSchema& schema,
            ColumnProfile& profile)
      : hints_(hints), schema_(schema), profile_(profile) {
    for (const DistinctText& text : texts) {
      const bool is_marker = hints.is_missing(text.value);
      (is_marker ? markers_ : values_).push_back(text);
      if (!is_marker) profile.present += text.count;
    }
    missing_cells_.add_nulls(nulls);
    has_nulls_ = nulls > 0;
  }

  bool run() {
    const bool fits = hints_.told != nullptr ? take_kind_told() : find_kind();
    if (fits) describe_missing();
    return fits;
  }

 private:
  bool find_kind() {
    if (values_.empty()) {
      schema_.kind = ColumnKind::kEmpty;
      return true;
    }
    if (try_numbers() || try_datetimes()) {
      if (profile_.cleaning.distinct == 1) make_constant();
      return true;
    }
    levels_ = merge_spellings(values_);
    if (!try_boolean(false)) find_kind_of_texts();
    return true;
  }

  bool take_kind_told() {
    const ColumnKind kind = hints_.told->kind;
    schema_.kind = kind;
    if (values_.empty()) {
      describe_told_empty();
      return true;
    }
    levels_ = merge_spellings(values_);
    switch (kind) {
      case ColumnKind::kInteger:
      case ColumnKind::kDecimal:
      case ColumnKind::kReal:
        return try_numbers();
      case ColumnKind::kDatetime:
        return try_datetimes();
      case ColumnKind::kBoolean:
        return try_boolean(true);
      case ColumnKind::kCategory:
        make_category();
        return take_levels_told();
      case ColumnKind::kKey:
      case ColumnKind::kText: {
        int64_t first = 0;
        if (kind == ColumnKind::kKey && are_sequence(first))
          make_sequence(first);
        else
          make_text(kind);
        return true;
      }
      case ColumnKind::kConstant:
        make_constant();
        return levels_.size() == 1;
      case ColumnKind::kEmpty:
        break;
    }
    return false;
  }

  // Nothing to learn from, but the kind told still holds where it needs no values.
  void describe_told_empty() {
    const ColumnSchema& told = *hints_.told;
    schema_.decimals = told.decimals;
    schema_.datetime_format = told.datetime_format;
    schema_.unit = told.unit;
    schema_.levels = told.levels;
    schema_.kind = ColumnKind::kEmpty;
  }

  // ---- numbers

  bool try_numbers() {
    std::vector<Number> numbers;
    std::vector<DistinctText> infinities, finite;
    NumberSummary summary;
    for (const DistinctText& text : values_) {
      const Number number = parse_number(text.value);
      if (number.form == NumberForm::kNone) {
        if (!is_infinity(text.value)) return false;
        infinities.push_back(text);
        continue;
      }
      summary.add(number);
      numbers.push_back(number);
      finite.push_back(text);
    }
    if (finite.empty() || !describe_numbers(summary, numbers)) return false;
    values_ = std::move(finite);
    for (const DistinctText& text : infinities) {
      profile_.present -= text.count;
      markers_.push_back(text);
    }
    if (schema_.kind == ColumnKind::kReal) {
      fill_reals(numbers);
    } else {
      fill_quanta(numbers);
      find_sequence();
    }
    count_outliers(profile_);
    return true;
  }

  bool describe_numbers(const NumberSummary& summary, const std::vector<Number>& numbers) {
    if (hints_.told == nullptr && !summary.are_numbers()) return false;
    if (!summary.describe(hints_.told, schema_)) return false;
    if (schema_.kind != ColumnKind::kDecimal || quanta_fit(numbers, schema_.decimals)) return true;
    schema_.kind = ColumnKind::kReal;
    schema_.decimals = 0;
    schema_.keeps_trailing_zeros = false;
    return hints_.told == nullptr;
  }

  static bool quanta_fit(const std::vector<Number>& numbers, int decimals) {
    int64_t quanta = 0;
    return std::all_of(numbers.begin(), numbers.end(), [&](const Number& number) {
      return rescale_quanta(number.quanta, number.decimals, decimals, quanta);
    });
  }

  void fill_quanta(const std::vector<Number>& numbers) {
    const int decimals = schema_.kind == ColumnKind::kInteger ? 0 : schema_.decimals;
    std::vector<std::pair<int64_t, int64_t>> items;
    for (size_t index = 0; index < numbers.size(); ++index) {
      int64_t quanta = 0;
      rescale_quanta(numbers[index].quanta, numbers[index].decimals, decimals, quanta);
      items.emplace_back(quanta, values_[index].count);
    }
    fill(std::move(items), profile_.distribution.quanta);
  }

  void fill_reals(const std::vector<Number>& numbers) {
    std::vector<std::pair<double, int64_t>> items;
    for (size_t index = 0; index < numbers.size(); ++index)
      items.emplace_back(real_of(numbers[index], values_[index].value) + 0.0, values_[index].count);
    fill(std::move(items), profile_.distribution.reals);
  }

  template <class Value>
  void fill(std::vector<std::pair<Value, int64_t>> items, std::vector<Value>& values) {
    std::sort(items.begin(), items.end());
    for (const auto& [value, count] : items) {
      if (values.empty() || values.back() != value) {
        values.push_back(value);
        profile_.distribution.counts.push_back(0);
      }
      profile_.distribution.counts.back() += count;
    }
    profile_.cleaning.distinct = static_cast<int64_t>(values.size());
  }

  void find_sequence() {
    if (hints_.told != nullptr || schema_.kind != ColumnKind::kInteger || schema_.decimals != 0) return;
    int64_t first = 0;
    if (!are_sequence(first) || !is_key_sequence(first, profile_.present)) return;
    make_sequence(first);
  }

  // The texts are in the order of rows where each came once.
  bool are_sequence(int64_t& first) const {
    if (has_nulls_ || !markers_.empty()) return false;
    Sequence sequence;
    for (const DistinctText& text : values_) {
      sequence.add(parse_number(text.value), text.count);
      if (!sequence.holds()) return false;
    }
    first = sequence.first();
    return true;
  }

  void make_sequence(int64_t first) {
    schema_.kind = ColumnKind::kKey;
    profile_.key_is_sequence = true;
    profile_.first_key = first;
    profile_.distribution = {};
    profile_.cleaning.distinct = profile_.present;
  }

  // ---- dates and times

  bool try_datetimes() {
    std::string format = hints_.told != nullptr ? hints_.told->datetime_format : "";
    TimeUnit unit = hints_.told != nullptr ? hints_.told->unit : TimeUnit::kSecond;
    if (format.empty()) {
      DatetimeInference inference;
      for (const DistinctText& text : values_) {
        if (!inference.add(text.value)) return false;
      }
      if (!inference.fits()) return false;
      format = inference.format();
      unit = inference.unit();
      if (inference.is_ambiguous()) profile_.cleaning.note = ambiguity_note(format);
    }
    const DatetimeFormat reader(format, unit);
    std::vector<std::pair<int64_t, int64_t>> items;
    for (const DistinctText& text : values_) {
      const std::optional<int64_t> instant = reader.parse(text.value);
      if (!instant) return false;
      items.emplace_back(*instant, text.count);
    }
    schema_.kind = ColumnKind::kDatetime;
    schema_.datetime_format = format;
    schema_.unit = unit;
    fill(std::move(items), profile_.distribution.quanta);
    count_outliers(profile_);
    return true;
  }

  // ---- texts

  bool try_boolean(bool is_told) {
    if (levels_.size() != 2) return false;
    int first_pair = 0, second_pair = 0;
    const int first = truth_value(levels_[0].value, first_pair), second = truth_value(levels_[1].value, second_pair);
    const bool are_truths = first >= 0 && second >= 0 && first != second && first_pair == second_pair;
    if (!are_truths && !is_told) return false;
    if (are_truths && first == 1) std::swap(levels_[0], levels_[1]);
    schema_.kind = ColumnKind::kBoolean;
    take_levels();
    return !is_told || take_levels_told();
  }

  void find_kind_of_texts() {
    const size_t distinct = levels_.size();
    const bool has_repeats = static_cast<int64_t>(distinct) != profile_.present;
    if (is_key_of_texts(profile_.present, has_repeats)) return make_text(ColumnKind::kKey);
    const size_t most = std::clamp(static_cast<size_t>(profile_.present / kRowsPerLevel), kFewLevels, kMostLevels);
    if (distinct > most) return make_text(ColumnKind::kText);
    take_markers_that_are_levels();
    levels_ = merge_spellings(values_);
    if (levels_.size() == 1) return make_constant();
    make_category();
  }

  // See profile.h: a marker may be a level.
  void take_markers_that_are_levels() {
    std::vector<DistinctText> rest;
    for (const Level& marker : merge_spellings(markers_)) {
      const bool is_level = !marker.value.empty() && !hints_.is_told_marker(marker.value) &&
                            (is_word_level(marker) || is_level_of_same_form(marker));
      for (const DistinctText& text : markers_) {
        if (text.value != marker.value) continue;
        (is_level ? values_ : rest).push_back(text);
        if (is_level) profile_.present += text.count;
      }
    }
    markers_ = std::move(rest);
  }

  // "None", as frequent as the levels are on average.
  bool is_word_level(const Level& marker) const {
    if (marker.value != "None") return false;
    const int64_t others = std::accumulate(levels_.begin(), levels_.end(), int64_t{0},
                                           [](int64_t sum, const Level& level) { return sum + level.count; });
    return marker.count * static_cast<int64_t>(levels_.size()) >= others;
  }

  // "NA" among codes of two capital letters, "-" beside "+": no rarer form, and not more frequent than every level.
  bool is_level_of_same_form(const Level& marker) const {
    const auto form = [](std::string_view value) {
      const bool is_sign = value.size() == 1 && std::ispunct(static_cast<unsigned char>(value.front()));
      return is_sign ? std::string("sign") : pattern_of(value);
    };
    const std::string wanted = form(marker.value);
    int64_t most = 0, alike = 0;
    for (const Level& level : levels_) {
      most = std::max(most, level.count);
      alike += form(level.value) == wanted;
    }
    return static_cast<double>(alike) >= kAlikeLevels * static_cast<double>(levels_.size()) && marker.count <= most;
  }

  void make_category() {
    schema_.kind = ColumnKind::kCategory;
    take_levels();
  }

  void take_levels() {
    for (const Level& level : levels_) {
      schema_.levels.emplace_back(level.text);
      profile_.level_counts.push_back(level.count);
    }
    profile_.cleaning.distinct = static_cast<int64_t>(levels_.size());
  }

  // Levels told come in the order told; levels of the data that are none of them do not fit.
  bool take_levels_told() {
    if (hints_.told->levels.empty()) return true;
    std::map<std::string_view, int64_t> counts;
    for (const Level& level : levels_) counts[level.value] = level.count;
    schema_.levels = hints_.told->levels;
    profile_.level_counts.clear();
    for (const std::string& level : schema_.levels) {
      const auto at = counts.find(trimmed(level));
      profile_.level_counts.push_back(at == counts.end() ? 0 : at->second);
      if (at != counts.end()) counts.erase(at);
    }
    return counts.empty();
  }

  void make_constant() {
    const auto most =
        std::max_element(values_.begin(), values_.end(), [](const DistinctText& a, const DistinctText& b) {
          return a.count != b.count ? a.count < b.count : a.text > b.text;
        });
    schema_.decimals = 0;
    schema_.keeps_trailing_zeros = false;
    schema_.datetime_format.clear();
    schema_.kind = ColumnKind::kConstant;
    schema_.levels = {std::string(most->text)};
    profile_.level_counts = {profile_.present};
    profile_.distribution = {};
    profile_.cleaning.outliers = 0;
    profile_.cleaning.note.clear();
    profile_.cleaning.distinct = 1;
  }

  void make_text(ColumnKind kind) {
    schema_.kind = kind;
    std::map<std::string, int64_t> counts;
    for (const DistinctText& text : values_) counts[pattern_of(text.value)] += text.count;
    profile_.cleaning.distinct = static_cast<int64_t>(levels_.size());
    take_patterns(counts, profile_);
  }

  // ---- missing cells

  void describe_missing() {
    CleaningReport& cleaning = profile_.cleaning;
    for (const DistinctText& text : values_) {
      if (text.text.size() != text.value.size()) cleaning.trimmed += text.count;
    }
    for (const DistinctText& text : markers_) missing_cells_.add(text.text, text.count);
    missing_cells_.describe(schema_, cleaning);
  }

  ColumnHints hints_;
  ColumnSchema& schema_;
  ColumnProfile& profile_;
  std::vector<DistinctText> values_, markers_;
  std::vector<Level> levels_;
  MissingCells missing_cells_;
  bool has_nulls_ = false;
};

}  // namespace

void take_patterns(const std::map<std::string, int64_t>& counts, ColumnProfile& profile) {
  profile.text_patterns.assign(counts.begin(), counts.end());
  std::stable_sort(profile.text_patterns.begin(), profile.text_patterns.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  if (profile.text_patterns.size() > kMostPatterns) profile.text_patterns.resize(kMostPatterns);
}

bool is_key_of_texts(int64_t present, bool has_repeats) {
  return present >= kKeyRows && !has_repeats;
}

std::string ambiguity_note(const std::string& datetime_format) {
  return "day and month could be either way round: read as " + datetime_format;
}

bool is_key_sequence(int64_t first, int64_t count) {
  return count >= kLongSequenceRows || (count >= kSequenceRows && (first == 0 || first == 1));
}

namespace {

// Values beyond 3 interquartile ranges from the quartiles; none where the quartiles are equal.
template <class Value>
int64_t outliers(const std::vector<Value>& values, const std::vector<int64_t>& counts) {
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  double quartiles[2] = {};
  int64_t below = 0;
  size_t next = 0;
  for (size_t index = 0; index < values.size(); ++index) {
    below += counts[index];
    while (next < 2 && static_cast<double>(below) >= (next == 0 ? 0.25 : 0.75) * static_cast<double>(total))
      quartiles[next++] = static_cast<double>(values[index]);
  }
  const double reach = 3 * (quartiles[1] - quartiles[0]);
  if (reach == 0) return 0;
  int64_t count = 0;
  for (size_t index = 0; index < values.size(); ++index) {
    const auto value = static_cast<double>(values[index]);
    if (value < quartiles[0] - reach || value > quartiles[1] + reach) count += counts[index];
  }
  return count;
}

}  // namespace

void count_outliers(ColumnProfile& profile) {
  const Distribution& distribution = profile.distribution;
  profile.cleaning.outliers = distribution.quanta.empty() ? outliers(distribution.reals, distribution.counts)
                                                          : outliers(distribution.quanta, distribution.counts);
}

bool infer_from_texts(const std::vector<DistinctText>& texts, int64_t nulls, const ColumnHints& hints,
                      ColumnSchema& schema, ColumnProfile& profile) {
  return Inference(texts, nulls, hints, schema, profile).run();
}

}  // namespace doppel
