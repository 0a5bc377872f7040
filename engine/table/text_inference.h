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
};

// `texts` are in the order in which they came; `nulls` cells are missing without a text (binary formats). Sets all but
// name, source and time zone of the schema. Returns false where the values do not fit the kind told.
bool infer_from_texts(const std::vector<DistinctText>& texts, int64_t nulls, const ColumnHints& hints,
                      ColumnSchema& schema, ColumnProfile& profile);

// The most frequent patterns first, at most 1,000.
void take_patterns(const std::map<std::string, int64_t>& counts, ColumnProfile& profile);
// Of the values of any numeric column.
void count_outliers(ColumnProfile& profile);
// True where whole numbers that are unique and ascend by one from `first` are a key.
bool is_key_sequence(int64_t first, int64_t count);

}  // namespace doppel
