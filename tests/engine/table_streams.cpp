// Columns with more distinct values than are kept: quantile sketches, streams, second passes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>

#include "engine/table/column_profiler.h"
#include "engine/table/distinct_sample.h"
#include "engine/table/quantile_sketch.h"
#include "engine/table/text_hash.h"
#include "tests/engine/memory_table.h"

namespace doppel {
namespace {

using Texts = std::vector<std::string>;

// ---- the sketch

// The greatest difference between how many values are at most v, by the items and in truth, for any v of the items.
template <class Value>
double rank_error(std::vector<Value> values, const std::vector<std::pair<Value, int64_t>>& items) {
  std::sort(values.begin(), values.end());
  int64_t up_to = 0, worst = 0;
  for (const auto& [value, weight] : items) {
    up_to += weight;
    const int64_t truth = std::upper_bound(values.begin(), values.end(), value) - values.begin();
    worst = std::max(worst, std::abs(truth - up_to));
  }
  return static_cast<double>(worst);
}

std::vector<std::pair<std::string, std::function<int64_t(int64_t, int64_t)>>> orders() {
  return {{"ascending", [](int64_t i, int64_t) { return i; }},
          {"descending", [](int64_t i, int64_t n) { return n - i; }},
          {"alternating ends", [](int64_t i, int64_t n) { return i % 2 == 0 ? i : n - i; }},
          {"from the middle", [](int64_t i, int64_t n) { return i % 2 == 0 ? n / 2 + i : n / 2 - i; }},
          {"saw", [](int64_t i, int64_t) { return i % 4096; }},
          {"shuffled", [](int64_t i, int64_t n) { return i * 7919 % n; }},
          {"blocks that compact alike", [](int64_t i, int64_t n) { return (i % 1024) * (n / 1024) + i / 1024; }}};
}

TEST(QuantileSketch, KeepsItsErrorBoundInAnyOrder) {
  for (const int64_t count : {1, 2, 63, 64, 65, 1000, 100'003, 1'000'000}) {
    for (const auto& [name, order] : orders()) {
      QuantileSketch<int64_t> sketch(4096);
      std::vector<int64_t> values;
      for (int64_t i = 0; i < count; ++i) {
        values.push_back(order(i, count));
        sketch.add(values.back());
      }
      const auto items = sketch.items();
      const int64_t total = std::accumulate(items.begin(), items.end(), int64_t{0},
                                            [](int64_t sum, const auto& item) { return sum + item.second; });
      EXPECT_EQ(total, count) << name;
      EXPECT_EQ(items.front().first, *std::min_element(values.begin(), values.end())) << name;
      EXPECT_EQ(items.back().first, *std::max_element(values.begin(), values.end())) << name;
      const double stated =
          std::max(0.0, static_cast<double>(count) * std::log2(static_cast<double>(count) / 4096) / 4096);
      EXPECT_LE(static_cast<double>(sketch.error_bound()), stated + 1) << name << ' ' << count;
      EXPECT_LE(rank_error(values, items), static_cast<double>(sketch.error_bound()) + 1) << name << ' ' << count;
    }
  }
}

TEST(QuantileSketch, AnErrorBoundOfAThousandthHoldsForTenBillionValues) {
  // The formula of the head comment at the profiler's capacity.
  EXPECT_LT(std::log2(1e10 / ColumnLimits().sketch_capacity) / static_cast<double>(ColumnLimits().sketch_capacity),
            0.001);
}

TEST(QuantileSketch, MergesWithoutLoss) {
  std::mt19937_64 random(5);
  std::vector<double> values;
  QuantileSketch<double> whole(1024);
  for (int part = 0; part < 17; ++part) {
    QuantileSketch<double> sketch(1024);
    for (int i = 0; i < 1 + part * 1000; ++i) {
      values.push_back(std::exp(static_cast<double>(random() % 1000) / 50));
      sketch.add(values.back());
    }
    whole.merge(sketch);
  }
  whole.merge(QuantileSketch<double>(1024));
  EXPECT_LE(rank_error(values, whole.items()), static_cast<double>(whole.error_bound()) + 1);
  EXPECT_LE(whole.error_bound(), static_cast<int64_t>(values.size()) / 50);
}

TEST(QuantileSketch, WeightsCountAsRepeats) {
  QuantileSketch<int64_t> sketch(64);
  std::vector<int64_t> values;
  for (int64_t value = 0; value < 300; ++value) {
    const int64_t weight = 1 + value * value % 1000;
    sketch.add(value, weight);
    values.insert(values.end(), static_cast<size_t>(weight), value);
  }
  EXPECT_LE(rank_error(values, sketch.items()), static_cast<double>(sketch.error_bound()) + 1);
}

TEST(DistinctSample, IsExactThenCloseAndSeesRepeats) {
  DistinctSample small(1000), large(1 << 12), repeats(1 << 12);
  for (int i = 0; i < 1000; ++i) small.add(hash_of(std::to_string(i)));
  EXPECT_TRUE(small.is_exact());
  EXPECT_EQ(small.distinct(), 1000);
  EXPECT_FALSE(small.has_repeats());
  for (int i = 0; i < 1'000'000; ++i) {
    large.add(hash_of(std::to_string(i)));
    repeats.add(hash_of(std::to_string(i % 990'000)));
  }
  EXPECT_FALSE(large.is_exact());
  EXPECT_FALSE(large.has_repeats());
  EXPECT_NEAR(static_cast<double>(large.distinct()), 1e6, 5e6 * 1.2 / 64);
  EXPECT_TRUE(repeats.has_repeats());
}

// ---- streams

struct Profiled {
  ColumnSchema schema;
  ColumnProfile profile;
  int passes = 1;
};

Profiled profile_texts(const Texts& texts, size_t exact_distinct, const ColumnSchema* told = nullptr) {
  const MissingMarkers markers(ProfileOptions().missing_markers);
  ColumnLimits limits;
  limits.exact_distinct = exact_distinct;
  limits.sketch_capacity = 1024;
  MemoryTable table = MemoryTable::of_texts({texts}, 777);
  const auto profiler = make_column_profiler(table.fields()[0], {told, &markers}, limits);
  Profiled result;
  std::vector<uint64_t> hashes(777);
  const auto read = [&] {
    table.rewind();
    for (RawChunk chunk; table.next(chunk);) profiler->add(chunk.columns[0], chunk.rows, hashes.data());
  };
  read();
  if (profiler->start_second_pass()) {
    ++result.passes;
    read();
  }
  EXPECT_TRUE(profiler->finish(result.schema, result.profile));
  return result;
}

// What a column with few distinct values kept is taken for is what it is with all of them kept.
void expect_same(const Texts& texts, int passes = 1) {
  const Profiled all = profile_texts(texts, 1 << 20), few = profile_texts(texts, 100);
  EXPECT_EQ(few.passes, passes);
  EXPECT_EQ(few.schema.kind, all.schema.kind) << to_string(few.schema.kind);
  EXPECT_EQ(few.schema.decimals, all.schema.decimals);
  EXPECT_EQ(few.schema.keeps_trailing_zeros, all.schema.keeps_trailing_zeros);
  EXPECT_EQ(few.schema.datetime_format, all.schema.datetime_format);
  EXPECT_EQ(few.schema.unit, all.schema.unit);
  EXPECT_EQ(few.schema.has_missing, all.schema.has_missing);
  EXPECT_EQ(few.schema.missing_text, all.schema.missing_text);
  EXPECT_EQ(few.profile.present, all.profile.present);
  EXPECT_EQ(few.profile.key_is_sequence, all.profile.key_is_sequence);
  EXPECT_EQ(few.profile.first_key, all.profile.first_key);
  EXPECT_EQ(few.profile.cleaning.missing, all.profile.cleaning.missing);
  EXPECT_EQ(few.profile.cleaning.trimmed, all.profile.cleaning.trimmed);
  EXPECT_EQ(few.profile.cleaning.note, all.profile.cleaning.note);
  EXPECT_EQ(few.profile.cleaning.missing_markers, all.profile.cleaning.missing_markers);
  EXPECT_NEAR(static_cast<double>(few.profile.cleaning.distinct), static_cast<double>(all.profile.cleaning.distinct),
              0.35 * static_cast<double>(all.profile.cleaning.distinct));
  const Distribution &a = all.profile.distribution, &b = few.profile.distribution;
  EXPECT_EQ(a.quanta.empty(), b.quanta.empty());
  EXPECT_EQ(a.reals.empty(), b.reals.empty());
  EXPECT_EQ(std::accumulate(a.counts.begin(), a.counts.end(), int64_t{0}),
            std::accumulate(b.counts.begin(), b.counts.end(), int64_t{0}));
  if (!a.quanta.empty()) {
    EXPECT_EQ(a.quanta.front(), b.quanta.front());
    EXPECT_EQ(a.quanta.back(), b.quanta.back());
  }
  if (!a.reals.empty()) {
    EXPECT_EQ(a.reals.front(), b.reals.front());
    EXPECT_EQ(a.reals.back(), b.reals.back());
  }
}

Texts make_texts(int rows, const std::function<std::string(int)>& cell) {
  Texts texts;
  for (int row = 0; row < rows; ++row) texts.push_back(cell(row));
  return texts;
}
std::string two(int value) {
  return std::to_string(100 + value).substr(1);
}

TEST(TableStreams, Integers) {
  expect_same(
      make_texts(5000, [](int row) { return row % 7 == 0 ? " NA" : std::to_string(row * 7919 % 100'003 - 50'000); }));
  expect_same(make_texts(5000, [](int row) { return std::to_string(row * 7919 % 100'003) + ".0"; }));
}
TEST(TableStreams, SequencesAreKeys) {
  expect_same(make_texts(5000, [](int row) { return std::to_string(row + 1); }));
  expect_same(make_texts(5000, [](int row) { return std::to_string(row == 4000 ? 1 : row + 1); }));
}
TEST(TableStreams, DecimalsThatGrow) {
  expect_same(make_texts(5000, [](int row) { return std::to_string(row) + (row < 3000 ? ".5" : ".0625"); }));
  expect_same(make_texts(5000, [](int row) { return std::to_string(row) + ".50"; }));
  expect_same(
      make_texts(5000, [](int row) { return row < 3000 ? std::to_string(row) : std::to_string(row) + ".25 "; }));
}
TEST(TableStreams, RealsFromDecimals) {
  expect_same(make_texts(5000, [](int row) { return row == 4000 ? "1e300" : std::to_string(row) + ".25"; }));
  expect_same(make_texts(5000, [](int row) { return row == 4000 ? "0.12345678901" : std::to_string(row); }));
  // Quanta that do not fit at the decimals of others.
  expect_same(
      make_texts(5000, [](int row) { return row == 4000 ? "0.123456789" : std::to_string(row) + "000000000000"; }));
  expect_same(
      make_texts(5000, [](int row) { return row < 4000 ? std::to_string(row) + ".123456789" : "12345678901234567"; }));
}
TEST(TableStreams, NumbersThatTurnOutToBeTexts) {
  expect_same(make_texts(5000, [](int row) { return row == 4999 ? "n0 number" : std::to_string(row * 3); }), 2);
  expect_same(make_texts(5000, [](int row) { return row == 4000 ? "99999999999999999999" : std::to_string(row * 3); }),
              2);
}
TEST(TableStreams, Infinities) {
  expect_same(make_texts(5000, [](int row) { return row % 1000 == 999 ? "inf" : std::to_string(row) + ".5"; }));
}
TEST(TableStreams, Datetimes) {
  const auto clock = [](int row) { return two(row / 3600) + ":" + two(row / 60 % 60) + ":" + two(row % 60); };
  expect_same(make_texts(5000, [&](int row) { return row % 9 == 0 ? "" : "2015-03-01 " + clock(row); }));
  // Settled late: month and day, the digits of a fraction.
  expect_same(make_texts(5000, [&](int row) { return (row < 4000 ? "03/04/2015 " : "13/04/2015 ") + clock(row); }), 2);
  expect_same(make_texts(5000, [&](int row) { return (row < 4000 ? "03/04/2015 " : "04/13/2015 ") + clock(row); }));
  expect_same(make_texts(5000, [&](int row) { return "03/04/2015 " + clock(row); }));
  expect_same(make_texts(5000, [&](int row) { return "2015-03-01 " + clock(row) + (row < 4000 ? "" : ".125"); }), 2);
  expect_same(
      make_texts(5000,
                 [&](int row) { return row < 4000 ? "2015-03-01 " + clock(row) : "never " + std::to_string(row); }),
      2);
}
TEST(TableStreams, DatetimesWhoseZerosAndNamesSettleLate) {
  const auto clock = [](int row, int hour) {
    return std::to_string(hour) + ":" + two(row / 60 % 60) + ":" + two(row % 60);
  };
  expect_same(make_texts(3000, [&](int row) { return "3/31/2015 " + clock(row, 10 + row / 3600); }));
  expect_same(make_texts(3000, [&](int row) { return "10/31/2015 " + clock(row, row < 2900 ? 10 : 9); }), 2);
  expect_same(make_texts(3000, [&](int row) { return (row < 2900 ? "3/31/2015 " : "03/31/2015 ") + clock(row, 10); }),
              2);
  expect_same(make_texts(3000, [&](int row) { return (row < 2900 ? "5/31/69 " : "05/31/69 ") + clock(row, 10); }), 2);
  expect_same(make_texts(3000, [&](int row) { return (row < 2900 ? "05/31/69 " : "5/31/69 ") + clock(row, 10); }), 2);
  expect_same(make_texts(3000, [&](int row) { return (row < 2900 ? "12-May-15 " : "12-June-15 ") + clock(row, 10); }),
              2);
  expect_same(make_texts(3000, [&](int row) { return (row < 2900 ? "12-Jan-15 " : "12-June-15 ") + clock(row, 10); }),
              2);
}
TEST(TableStreams, TextsAndKeys) {
  expect_same(make_texts(5000, [](int row) { return "K-" + std::to_string(10'000 + row); }));
  expect_same(make_texts(5000, [](int row) { return "T-" + std::to_string(10'000 + row % 2500); }));
  const Profiled column =
      profile_texts(make_texts(5000, [](int row) { return "K-" + std::to_string(10'000 + row); }), 100);
  EXPECT_EQ(column.profile.text_patterns, (std::vector<std::pair<std::string, int64_t>>{{"[A-Z]-[0-9]{5}", 5000}}));
}
TEST(TableStreams, ToldKinds) {
  ColumnSchema told;
  told.kind = ColumnKind::kKey;
  const Profiled key = profile_texts(make_texts(5000, [](int row) { return std::to_string(row * 3); }), 100, &told);
  EXPECT_EQ(key.schema.kind, ColumnKind::kKey);
  EXPECT_FALSE(key.profile.key_is_sequence);
  EXPECT_FALSE(key.profile.text_patterns.empty());
  EXPECT_TRUE(profile_texts(make_texts(5000, [](int row) { return std::to_string(row + 70); }), 100, &told)
                  .profile.key_is_sequence);
  told.kind = ColumnKind::kReal;
  EXPECT_EQ(profile_texts(make_texts(5000, [](int row) { return std::to_string(row); }), 100, &told).schema.kind,
            ColumnKind::kReal);
}

}  // namespace
}  // namespace doppel
