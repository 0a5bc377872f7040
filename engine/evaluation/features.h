// Typed tables as matrices of numbers, for the learners that judge them.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/table/schema.h"
#include "engine/table/table.h"

namespace doppel {

// One number a column, NaN where missing: values of numbers and datetimes, codes of categories. Keys, texts, constants,
// empty columns and `left_out` (an index; -1: none) are not features.
struct CodeMatrix {
  int64_t rows = 0, columns = 0;
  std::vector<float> values;  // [rows, columns], row-major
};
CodeMatrix make_code_matrix(const TableSchema& schema, const Table& table, const std::vector<int64_t>& rows,
                            int64_t left_out);

// The value of a numeric column in its own unit, NaN where missing or infinite.
double numeric_value(const ColumnSchema& schema, const Column& column, int64_t row);

// Features of linear learners, fitted on one table and applied to others: numbers standardised with missing values at
// the mean and an indicator beside them, categories as one indicator a level (the most frequent kMostIndicators of
// them; a missing one is a level too; an unseen level has none).
inline constexpr size_t kMostIndicators = 100;

class LinearFeatures {
 public:
  LinearFeatures(const TableSchema& schema, const Table& table, const std::vector<int64_t>& rows, int64_t left_out);
  int64_t columns() const { return columns_; }
  // [rows, columns()], row-major.
  std::vector<double> apply(const Table& table, const std::vector<int64_t>& rows) const;

 private:
  struct Feature {
    size_t column;
    bool discrete;
    double mean = 0, deviation = 1;  // numbers
    std::vector<int64_t> position;   // of each level's indicator, then of missing; -1: none
    int64_t start = 0;               // numbers: the value's column; the indicator of missing follows where has_missing
    bool has_missing = false;
  };
  const TableSchema& schema_;
  std::vector<Feature> features_;
  int64_t columns_ = 0;
};

}  // namespace doppel
