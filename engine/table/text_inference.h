// The kind of a column from its distinct texts, when all of them are known.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/table/cells.h"
#include "engine/table/profile.h"

namespace doppel {

struct DistinctText {
  std::string_view text;   // as in the file
  std::string_view value;  // without blanks around it
  int64_t count;
};

// What is known of a column before it is read.
struct ColumnHints {
  const ColumnSchema* told = nullptr;  // by --schema: its kind holds, and its format and levels where it gives them
  const MissingMarkers* markers = nullptr;

  // `value` has no blanks around it.
  bool is_told_marker(std::string_view value) const {
    return told != nullptr && !told->missing_text.empty() && value == trimmed(told->missing_text);
  }
  bool is_missing(std::string_view value) const { return markers->contains(value) || is_told_marker(value); }
};

// `texts` are in the order in which they came; `nulls` cells are missing without a text (binary formats). Sets all but
// name, source and time zone of the schema. Returns false where the values do not fit the kind told.
bool infer_from_texts(const std::vector<DistinctText>& texts, int64_t nulls, const ColumnHints& hints,
                      ColumnSchema& schema, ColumnProfile& profile);

// The most frequent patterns first, at most 1,000.
void take_patterns(const std::map<std::string, int64_t>& counts, ColumnProfile& profile);
// Of the values of any numeric column.
void count_outliers(ColumnProfile& profile);
// True where `present` texts are a key rather than free text or a category.
bool is_key_of_texts(int64_t present, bool has_repeats);
std::string ambiguity_note(const std::string& datetime_format);
// Whether the values of the rows, in their order, are first, first + 1, first + 2, ...
class Sequence {
 public:
  void add(int64_t value) {
    if (next_ == 0) first_ = value;
    holds_ = holds_ && static_cast<uint64_t>(value) - static_cast<uint64_t>(first_) == next_++;
  }
  // A text's number, which comes `count` times.
  void add(const Number& number, int64_t count) {
    add(number.quanta);
    holds_ = holds_ && number.form == NumberForm::kInteger && count == 1;
  }
  void stop() { holds_ = false; }
  bool holds() const { return holds_; }
  int64_t first() const { return first_; }

 private:
  bool holds_ = true;
  int64_t first_ = 0;
  uint64_t next_ = 0;
};
// True where whole numbers that are unique and ascend by one from `first` are a key.
bool is_key_sequence(int64_t first, int64_t count);

}  // namespace doppel
