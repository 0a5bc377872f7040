// Contingency tables and sorts by any backend, against a map and std::sort.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {

struct CodedTable {
  std::vector<std::vector<int32_t>> codes;
  CodedColumns columns;
};

// Codes of which the smallest are the most frequent, columns that go with the one before.
inline CodedTable make_coded_table(int64_t rows, std::vector<int32_t> code_count, uint64_t seed) {
  std::mt19937_64 random(seed);
  CodedTable table;
  table.columns.rows = rows;
  for (const int32_t count : code_count) {
    std::vector<int32_t> codes;
    for (int64_t row = 0; row < rows; ++row) {
      const double uniform = static_cast<double>(random() >> 11) * 0x1p-53;
      const bool as_before = !table.codes.empty() && random() % 3 == 0;
      codes.push_back(as_before ? table.codes.back()[row] % count : static_cast<int32_t>(uniform * uniform * count));
    }
    table.codes.push_back(std::move(codes));
  }
  for (const std::vector<int32_t>& codes : table.codes) table.columns.codes.push_back(codes);
  table.columns.code_count = std::move(code_count);
  return table;
}

inline PairCounts count_by_map(const CodedTable& table, ColumnPair pair) {
  std::map<int64_t, int64_t> counts;
  for (int64_t row = 0; row < table.columns.rows; ++row)
    ++counts[int64_t{table.codes[pair.first][row]} * table.columns.code_count[pair.second] +
             table.codes[pair.second][row]];
  PairCounts counted;
  for (const auto& [cell, rows] : counts) counted.push_back({cell, rows});
  return counted;
}

inline std::vector<ColumnPair> all_pairs(size_t columns) {
  std::vector<ColumnPair> pairs;
  for (size_t i = 0; i < columns; ++i)
    for (size_t j = 0; j < columns; ++j) pairs.push_back({static_cast<int32_t>(i), static_cast<int32_t>(j)});
  return pairs;
}

inline void expect_pair_counts(const Backend& backend, const CodedTable& table) {
  const auto prepared = backend.prepare_pair_counts(table.columns);
  const std::vector<ColumnPair> pairs = all_pairs(table.codes.size());
  for (int turn = 0; turn < 2; ++turn) {  // the second of columns that are there
    const std::vector<PairCounts> counted = prepared->count(pairs);
    ASSERT_EQ(counted.size(), pairs.size());
    for (size_t p = 0; p < pairs.size(); ++p)
      EXPECT_EQ(counted[p], count_by_map(table, pairs[p]))
          << "columns " << pairs[p].first << " and " << pairs[p].second << " of " << table.columns.rows << " rows";
  }
  EXPECT_TRUE(prepared->count({}).empty());
}

// Around a thread's rows, a piece's, and none; few cells, more than one copy, than shared memory, and than are counted.
inline void expect_pair_counts_of_every_size(const Backend& backend) {
  for (const int64_t rows : {0, 1, 3, 4, 5, 1023, 1024, 1025, 16383, 16384, 16385})
    expect_pair_counts(backend, make_coded_table(rows, {1, 2, 7, 33}, 1));
  expect_pair_counts(backend, make_coded_table(3000, {11, 12, 64, 65, 300}, 2));
  expect_pair_counts(backend, make_coded_table(700, {3, 5000, std::numeric_limits<int32_t>::max()}, 3));
}

inline void expect_refused_codes(const Backend& backend) {
  for (const int32_t wrong : {-1, 7}) {
    CodedTable table = make_coded_table(100, {7, 7}, 4);
    table.codes[1][99] = wrong;
    EXPECT_THROW(backend.prepare_pair_counts(table.columns), Error);
  }
  CodedTable table = make_coded_table(100, {7, 7}, 4);
  table.columns.rows = 101;
  EXPECT_THROW(backend.prepare_pair_counts(table.columns), Error);
  table.columns.rows = 100;
  table.columns.code_count.pop_back();
  EXPECT_THROW(backend.prepare_pair_counts(table.columns), Error);
}

inline void expect_sorted(const Backend& backend, size_t size) {
  std::mt19937_64 random(size);
  std::vector<int64_t> values;
  for (size_t i = 0; i < size; ++i) {
    const auto any = static_cast<int64_t>(random());
    values.push_back(i % 3 == 0 ? any : any % 10);
  }
  if (size > 2) values[1] = std::numeric_limits<int64_t>::min(), values[2] = std::numeric_limits<int64_t>::max();
  std::vector<int64_t> wanted = values;
  std::sort(wanted.begin(), wanted.end());
  backend.sort_ascending(values);
  EXPECT_EQ(values, wanted);
}

inline void expect_sorted_of_every_size(const Backend& backend) {
  for (const size_t size : {0, 1, 2, 3, 1000, 50000}) expect_sorted(backend, size);
}

}  // namespace doppel
