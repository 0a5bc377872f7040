// The mixture model: what comes out of fits of tables whose law is known.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "engine/models/mixture/mixture.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

FitOptions with_members(const std::string& members) {
  FitOptions options = options_of("mixture");
  options.members = members;
  return options;
}

TEST(MixtureModel, KeepsWhatOneGaussianCannot) {
  constexpr int kRows = 20000;
  const auto model = fit(curved_table(kRows), with_members("auto"));
  const Sampled sampled = sample(*model, kRows);
  const auto& x = sampled.columns[kX];
  const auto& y = sampled.columns[kY];
  // y = x^2: uncorrelated, but what remains of y after x^2 is small (its own noise is 0.1, y's deviation 1.4).
  double square = 0, on_the_right_side = 0;
  for (int row = 0; row < kRows; ++row) {
    square += (y[row] - x[row] * x[row]) * (y[row] - x[row] * x[row]);
    const bool is_up = model->schema().columns[kFlag].levels[static_cast<size_t>(sampled.columns[kFlag][row])] == "up";
    on_the_right_side += is_up == (x[row] > 0);
  }
  EXPECT_LT(std::sqrt(square / kRows), 0.4);
  EXPECT_GT(on_the_right_side / kRows, 0.97);
}

TEST(MixtureModel, KeepsEachColumnsDistribution) {
  constexpr int kRows = 20000;
  const std::vector<MemoryColumn> columns = curved_table(kRows);
  const Sampled sampled = sample(*fit(columns, with_members("40")), kRows);
  // Largest distance of two empirical distribution functions: 2 sqrt(1 / n) is passed by chance once in 3,000 cases.
  for (const size_t c : {kX, kY, kSpiked}) {
    std::vector<double> real = columns[c].reals, made = sampled.columns[c];
    std::sort(real.begin(), real.end());
    std::sort(made.begin(), made.end());
    double distance = 0;
    for (const double value : real) {
      const auto below = [&](const std::vector<double>& all) {
        return static_cast<double>(std::upper_bound(all.begin(), all.end(), value) - all.begin()) / kRows;
      };
      distance = std::max(distance, std::abs(below(real) - below(made)));
    }
    EXPECT_LT(distance, 2 / std::sqrt(kRows)) << "column " << c;
  }
  const double gaps = share(sampled.columns[kGappy], [](double value) { return std::isnan(value); });
  const double real_gaps =
      1 - static_cast<double>(std::count(columns[kGappy].present.begin(), columns[kGappy].present.end(), 1)) / kRows;
  EXPECT_NEAR(gaps, real_gaps, 5 * std::sqrt(2 * real_gaps / kRows));
  const double spike = share(sampled.columns[kSpiked], [](double value) { return value == 0; });
  EXPECT_NEAR(spike, 1.0 / 3, 5 * std::sqrt(0.5 / kRows));
}

TEST(MixtureModel, ColumnsThatDetermineOneAnotherDoSoInEveryRow) {
  const auto columns = curved_table(3000);
  const auto model = fit(columns, with_members("auto"));
  std::map<std::string, std::string> name_of;
  for (size_t row = 0; row < columns[kCode].texts.size(); ++row)
    name_of[columns[kCode].texts[row]] = columns[kName].texts[row];
  const Sampled sampled = sample(*model, 5000);
  const auto& schema = model->schema().columns;
  for (int row = 0; row < 5000; ++row)
    ASSERT_EQ(name_of.at(schema[kCode].levels[static_cast<size_t>(sampled.columns[kCode][row])]),
              schema[kName].levels[static_cast<size_t>(sampled.columns[kName][row])]);
}

TEST(MixtureModel, GapsGoWithOtherColumns) {
  const Sampled sampled = sample(*fit(curved_table(8000), with_members("auto")), 8000);
  double gaps_above = 0, gaps = 0;
  for (int row = 0; row < 8000; ++row)
    if (std::isnan(sampled.columns[kGappy][row])) gaps += 1, gaps_above += sampled.columns[kX][row] > 0;
  ASSERT_GT(gaps, 500);
  EXPECT_GT(gaps_above / gaps, 0.95);  // in the table: 1
}

TEST(MixtureModel, TheSameBytesForTheSameSeed) {
  const auto bytes = [](uint64_t seed, int64_t chunk_rows) {
    FitOptions options = with_members("auto");
    options.seed = seed;
    return serialise(fit(curved_table(1500), options, chunk_rows)->save());
  };
  EXPECT_EQ(bytes(3, 1 << 20), bytes(3, 1 << 20));
  EXPECT_EQ(bytes(3, 1 << 20), bytes(3, 97));
  EXPECT_NE(bytes(3, 1 << 20), bytes(4, 1 << 20));
}

TEST(MixtureModel, ReadsWhatItWrote) {
  const auto model = fit(curved_table(1000), with_members("9"));
  const std::vector<std::byte> bytes = serialise(model->save());
  const auto again = load_model(parse_model_file(bytes, "m.doppel"));
  EXPECT_EQ(again->kind(), "mixture");
  EXPECT_EQ(serialise(again->save()), bytes);
  EXPECT_EQ(sample(*again, 300).bytes, sample(*model, 300).bytes);
}

TEST(MixtureModel, RowsDoNotDependOnBatches) {
  const auto model = fit(curved_table(1000), with_members("9"));
  const Sampled whole = sample(*model, 1000);
  EXPECT_EQ(sample(*model, 1000, 1, [](int64_t) { return 77; }).bytes, whole.bytes);
}

TEST(MixtureModel, LearnsMoreRowsThanItHolds) {
  // 1 MiB holds few of these rows: a sample, and then a pass over all of them.
  constexpr int kRows = 80000;
  FitOptions options = with_members("20");
  options.memory_bytes = 1 << 20;
  const auto columns = curved_table(kRows);
  const Sampled sampled = sample(*fit(columns, options), kRows);
  double square = 0;
  for (int row = 0; row < kRows; ++row) {
    const double rest = sampled.columns[kY][row] - sampled.columns[kX][row] * sampled.columns[kX][row];
    square += rest * rest;
  }
  EXPECT_LT(std::sqrt(square / kRows), 0.6);
  const double gaps = share(sampled.columns[kGappy], [](double value) { return std::isnan(value); });
  EXPECT_NEAR(gaps, 0.125, 0.01);
}

TEST(MixtureModel, ManyLevelsCostWhatOccurs) {
  // 20,000 levels of a column, each of one of two halves, which another column names.
  constexpr int kRows = 40000;
  std::mt19937_64 random(1);
  std::vector<std::string> level, half;
  for (int row = 0; row < kRows; ++row) {
    const auto number = random() % 10000;
    level.push_back("level " + std::to_string(number));
    half.push_back(number < 5000 ? "low" : "high");
  }
  TableSchema told;
  told.columns.emplace_back();
  told.columns[0].name = "level";
  told.columns[0].kind = ColumnKind::kCategory;
  MemoryTable table({text_column("level", level), text_column("half", half)});
  const TableProfile profile = profile_table(table, {.overrides = told});
  ASSERT_EQ(profile.schema.columns[0].kind, ColumnKind::kCategory);
  const auto model = fit_model(table, profile, with_members("1000"), cpu());
  EXPECT_LT(serialise(model->save()).size(), size_t{8} << 20);
  const Sampled sampled = sample(*model, 20000);
  std::set<double> seen(sampled.columns[0].begin(), sampled.columns[0].end());
  EXPECT_GT(seen.size(), 7500u);  // 1 - e^-2 = 86 % of 10,000
}

TEST(MixtureModel, StatesOfAVariableOfFewAreDrawnAtOnce) {
  const ModelFile file = fit(curved_table(3000), with_members("40"))->save();
  for (const int32_t states : file.tensor("variables.states", {-1}).to<int32_t>()) ASSERT_LE(states, 8);
  for (const char* outcomes : {"variables.below", "variables.above"})
    for (const int32_t state : file.tensor(outcomes, {-1}).to<int32_t>()) EXPECT_NE(state, Emission::kAbove);
}

// Shares of independent draws would differ by 0.004 or so from seed to seed.
TEST(MixtureModel, DoublesOfAllSeedsHaveTheSameShares) {
  constexpr int kRows = 20 * 1024;
  const auto model = fit(curved_table(3000), with_members("10"));
  const auto shares = [&](size_t column, uint64_t seed) {
    const Sampled sampled = sample(*model, kRows, seed);
    std::vector<double> share(5);
    for (const double code : sampled.columns[column]) share[static_cast<size_t>(code)] += 1.0 / kRows;
    return share;
  };
  for (const size_t column : {kFlag, kCode}) {
    const std::vector<double> first = shares(column, 1);
    for (uint64_t seed : {2, 3, 4}) {
      const std::vector<double> again = shares(column, seed);
      for (size_t level = 0; level < first.size(); ++level) EXPECT_NEAR(first[level], again[level], 0.002);
    }
  }
}

TEST(MixtureModel, FewRowsOfNumbersAreOneGaussian) {
  // Where nothing speaks for more members, a single one is a PCA of normal scores.
  constexpr int kTables = 10;
  int single = 0;
  for (uint64_t seed = 0; seed < kTables; ++seed) {
    std::vector<MemoryColumn> columns;
    for (const std::vector<double>& values : normals(6, 100, 0.7, seed))
      columns.push_back(real_column("x" + std::to_string(columns.size()), values));
    const auto model = fit(columns, with_members("auto"));
    const nlohmann::json about = model->describe();
    EXPECT_EQ(about.at("trials").at(0).at("members"), 1);
    if (about.at("members") != 1) continue;
    ++single;
    const Sampled sampled = sample(*model, 20000);
    EXPECT_NEAR(correlation(sampled.columns[0], sampled.columns[5]), 0.7, 0.25) << seed;
  }
  EXPECT_GE(single, kTables / 2);
  EXPECT_GT(fit(curved_table(1000), with_members("auto"))->describe().at("trials").at(0).at("members"), 1);
}

TEST(MixtureModel, SmallAndOddTables) {
  for (const int rows : {1, 2, 3, 17}) {
    const auto model = fit(curved_table(rows), with_members("auto"));
    EXPECT_EQ(sample(*model, 50).columns.size(), 7u) << rows;
  }
  const auto constant = fit({text_column("a", std::vector<std::string>(40, "same"))}, with_members("auto"));
  EXPECT_EQ(sample(*constant, 5).columns[0], std::vector<double>(5, 0));
  std::vector<std::string> key;
  for (int row = 0; row < 40; ++row) key.push_back("K" + std::to_string(7000 + 13 * row));
  EXPECT_EQ(sample(*fit({text_column("key", key)}, with_members("auto")), 5).columns.size(), 1u);
}

TEST(MixtureModel, WrongOptionsAreUsageErrors) {
  for (const char* members : {"0", "-1", "many", "1e3", "5000", ""})
    EXPECT_THROW(check_fit_options(with_members(members)), UsageError) << members;
  FitOptions options = with_members("auto");
  options.components = "3";
  EXPECT_THROW(check_fit_options(options), UsageError);
}

TEST(MixtureModel, AutoIsAMixtureUnlessOptionsAskForPca) {
  EXPECT_EQ(fit(curved_table(200), options_of("auto"))->kind(), "mixture");
  FitOptions options = options_of("auto");
  options.components = "2";
  EXPECT_EQ(fit(curved_table(200), options)->kind(), "pca");
}

}  // namespace
}  // namespace doppel
