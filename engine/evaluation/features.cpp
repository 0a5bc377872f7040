#include "engine/evaluation/features.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/table/cells.h"

namespace doppel {
double numeric_value(const ColumnSchema& schema, const Column& column, int64_t row) {
  if (column.is_missing(row)) return std::numeric_limits<double>::quiet_NaN();
  if (schema.kind == ColumnKind::kReal)
    return std::isfinite(column.reals[row]) ? column.reals[row] : std::numeric_limits<double>::quiet_NaN();
  return real_of(column.quanta[row], schema.kind == ColumnKind::kDecimal ? schema.decimals : 0);
}

CodeMatrix make_code_matrix(const TableSchema& schema, const Table& table, const std::vector<int64_t>& rows,
                            int64_t left_out) {
  std::vector<size_t> used;
  for (size_t j = 0; j < schema.columns.size(); ++j) {
    const ColumnKind kind = schema.columns[j].kind;
    if (static_cast<int64_t>(j) != left_out && (is_numeric(kind) || is_discrete(kind))) used.push_back(j);
  }
  CodeMatrix matrix;
  matrix.rows = static_cast<int64_t>(rows.size());
  matrix.columns = static_cast<int64_t>(used.size());
  matrix.values.resize(rows.size() * used.size());
  for (size_t k = 0; k < used.size(); ++k) {
    const ColumnSchema& column_schema = schema.columns[used[k]];
    const Column& column = table.columns[used[k]];
    const bool numeric = is_numeric(column_schema.kind);
    for (size_t i = 0; i < rows.size(); ++i) {
      const int64_t row = rows[i];
      float value = std::numeric_limits<float>::quiet_NaN();
      if (numeric)
        value = static_cast<float>(numeric_value(column_schema, column, row));
      else if (!column.is_missing(row))
        value = static_cast<float>(column.codes[row]);
      matrix.values[i * used.size() + k] =
          std::isinf(value) ? std::copysign(std::numeric_limits<float>::max(), value) : value;
    }
  }
  return matrix;
}

LinearFeatures::LinearFeatures(const TableSchema& schema, const Table& table, const std::vector<int64_t>& rows,
                               int64_t left_out)
    : schema_(schema) {
  for (size_t j = 0; j < schema.columns.size(); ++j) {
    const ColumnSchema& column_schema = schema.columns[j];
    const Column& column = table.columns[j];
    if (static_cast<int64_t>(j) == left_out) continue;
    Feature feature{.column = j, .discrete = is_discrete(column_schema.kind), .position = {}, .start = columns_};
    if (is_numeric(column_schema.kind)) {
      double sum = 0, squares = 0;
      int64_t count = 0;
      for (const int64_t row : rows) {
        const double value = numeric_value(column_schema, column, row);
        if (std::isnan(value)) continue;
        sum += value;
        ++count;
      }
      if (count > 0) feature.mean = sum / static_cast<double>(count);
      for (const int64_t row : rows) {
        const double value = numeric_value(column_schema, column, row);
        if (!std::isnan(value)) squares += (value - feature.mean) * (value - feature.mean);
      }
      if (squares > 0) feature.deviation = std::sqrt(squares / static_cast<double>(count));
      feature.has_missing = count < static_cast<int64_t>(rows.size());
      columns_ += 1 + feature.has_missing;
    } else if (feature.discrete) {
      const size_t levels = column_schema.levels.size();
      std::vector<int64_t> counts(levels + 1);
      for (const int64_t row : rows) {
        if (column.is_missing(row))
          ++counts[levels];
        else if (column.codes[row] != kUnseenCode)
          ++counts[column.codes[row]];
      }
      std::vector<size_t> order(levels + 1);
      std::iota(order.begin(), order.end(), size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return counts[a] > counts[b]; });
      feature.position.assign(levels + 1, -1);
      for (size_t i = 0; i < std::min(order.size(), kMostIndicators) && counts[order[i]] > 0; ++i)
        feature.position[order[i]] = columns_++;
    } else {
      continue;
    }
    features_.push_back(std::move(feature));
  }
}

std::vector<double> LinearFeatures::apply(const Table& table, const std::vector<int64_t>& rows) const {
  std::vector<double> values(rows.size() * static_cast<size_t>(columns_));
  for (const Feature& feature : features_) {
    const ColumnSchema& column_schema = schema_.columns[feature.column];
    const Column& column = table.columns[feature.column];
    for (size_t i = 0; i < rows.size(); ++i) {
      double* out = &values[i * static_cast<size_t>(columns_)];
      const int64_t row = rows[i];
      if (feature.discrete) {
        const int64_t code =
            column.is_missing(row) ? static_cast<int64_t>(column_schema.levels.size()) : column.codes[row];
        if (code >= 0 && feature.position[code] >= 0) out[feature.position[code]] = 1;
        continue;
      }
      const double value = numeric_value(column_schema, column, row);
      if (!std::isnan(value))
        out[feature.start] = (value - feature.mean) / feature.deviation;
      else if (feature.has_missing)
        out[feature.start + 1] = 1;
    }
  }
  return values;
}

}  // namespace doppel
