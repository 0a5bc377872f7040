// The PCA model from table to rows. Statistical bounds are five standard errors of fixed seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>

#include "engine/models/pca/pca.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

FitOptions with_components(const std::string& components) {
  FitOptions options = options_of("pca");
  options.components = components;
  return options;
}

std::string level_of(double z, const std::vector<double>& bounds, const std::vector<std::string>& names) {
  size_t level = 0;
  while (level < bounds.size() && z >= bounds[level]) ++level;
  return names[level];
}

// A column of every kind, some with gaps; gaps of `gap` follow `amount`, and `twin` is missing with it.
std::vector<MemoryColumn> mixed_table(int rows, uint64_t seed = 7) {
  const auto z = normals(4, rows, 0.5, seed);
  std::vector<std::string> amount, level, gap, twin, flag, constant, key, text, empty, date;
  for (int row = 0; row < rows; ++row) {
    amount.push_back(std::to_string(std::lround(1000 + 200 * z[0][row])));
    level.push_back(level_of(z[1][row], {-1, 0.2, 1.1}, {"low", "middle", "high", "very high"}));
    const bool missing = z[0][row] + 0.3 * z[2][row] > 1;
    gap.push_back(missing ? "" : std::to_string(std::lround(10 * z[3][row])));
    twin.push_back(missing ? "NA" : level_of(z[2][row], {0}, {"left", "right"}));
    flag.push_back(z[3][row] > 0.5 ? "yes" : "no");
    constant.push_back("always");
    key.push_back("id-" + std::to_string(100000 + row));
    text.push_back("note " + std::to_string(row * 7919 % 1000003) + (row % 3 ? " and more" : ""));
    empty.push_back("");
    date.push_back("2024-0" + std::to_string(1 + row % 9) + "-1" + std::to_string(row * 7 % 10));
  }
  std::vector<MemoryColumn> columns;
  columns.push_back(text_column("amount", amount));
  columns.push_back(text_column("level", level));
  columns.push_back(text_column("gap", gap));
  columns.push_back(text_column("twin", twin));
  columns.push_back(text_column("flag", flag));
  columns.push_back(text_column("constant", constant));
  columns.push_back(text_column("key", key));
  columns.push_back(text_column("text", text));
  columns.push_back(text_column("empty", empty));
  columns.push_back(text_column("date", date));
  return columns;
}

TEST(PcaModel, ComponentsAreOrthonormalAndExplainAllTheVariance) {
  const ModelFile file = fit(mixed_table(2000))->save();
  const auto& shape = file.tensors.at("components").shape;
  const auto vectors = file.tensors.at("components").to<double>();
  const auto eigenvalues = file.tensors.at("eigenvalues").to<double>();
  EXPECT_TRUE(std::is_sorted(eigenvalues.rbegin(), eigenvalues.rend()));
  EXPECT_NEAR(std::accumulate(eigenvalues.begin(), eigenvalues.end(), 0.0), static_cast<double>(shape[0]), 1e-9);
  for (int64_t a = 0; a < shape[1]; ++a) {
    for (int64_t b = 0; b <= a; ++b) {
      double product = 0;
      for (int64_t j = 0; j < shape[0]; ++j) product += vectors[j * shape[1] + a] * vectors[j * shape[1] + b];
      EXPECT_NEAR(product, a == b, 1e-12) << a << " " << b;
    }
  }
}

TEST(PcaModel, EveryLatentHasUnitVarianceWhateverTheComponents) {
  for (const char* components : {"1", "3", "0.5", "0.9", "all", "auto"}) {
    const ModelFile file = fit(mixed_table(1000), with_components(components))->save();
    const auto& shape = file.tensors.at("factor").shape;
    const auto factor = file.tensors.at("factor").to<float>(), residual = file.tensors.at("residual").to<float>();
    for (int64_t j = 0; j < shape[0]; ++j) {
      double variance = double{residual[j]} * residual[j];
      for (int64_t k = 0; k < shape[1]; ++k) variance += double{factor[j * shape[1] + k]} * factor[j * shape[1] + k];
      EXPECT_NEAR(variance, 1, 1e-5) << components << " latent " << j;
    }
  }
}

TEST(PcaModel, ComponentsAreCountedAsAsked) {
  const auto count = [](const char* components) {
    return fit(mixed_table(1000), with_components(components))->save().tensors.at("components").shape[1];
  };
  EXPECT_EQ(count("1"), 1);
  EXPECT_EQ(count("4"), 4);
  EXPECT_LT(count("0.5"), count("0.95"));
  const auto explained =
      fit(mixed_table(1000), with_components("0.9"))->describe()["explained_variance"].get<std::vector<double>>();
  const double sum = std::accumulate(explained.begin(), explained.end(), 0.0);
  EXPECT_GE(sum, 0.9);
  EXPECT_LT(sum - explained.back(), 0.9);
}

TEST(PcaModel, WrongOptionsAreUsageErrors) {
  for (const char* components : {"0", "-1", "1.5", "many", "", "1000", "nan", "1e400"})
    EXPECT_THROW(fit(mixed_table(100), with_components(components)), UsageError) << components;
  FitOptions options = options_of("pca");
  options.space = "logs";
  EXPECT_THROW(fit(mixed_table(100), options), UsageError);
  options = {};
  options.model = "perceptron";
  EXPECT_THROW(fit(mixed_table(100), options), UsageError);
  options = {};
  options.target = "no such column";
  EXPECT_THROW(fit(mixed_table(100), options), UsageError);
  options = options_of("pca");
  options.memory_bytes = 1000;
  EXPECT_THROW(fit(mixed_table(100), options), UsageError);
}

TEST(PcaModel, RecoversTheCorrelationOfNumbers) {
  constexpr int kRows = 20000;
  for (const double expected : {0.0, 0.3, 0.95}) {
    const auto z = normals(2, kRows, expected, 11);
    const double learned = correlation(z[0], z[1]);
    const auto made = sample(*fit({real_column("a", z[0]), real_column("b", z[1])}), kRows).columns;
    EXPECT_NEAR(correlation(made[0], made[1]), learned, 5 * (1 - learned * learned) / std::sqrt(kRows) + 0.002)
        << expected;
  }
}

TEST(PcaModel, RecoversThePearsonCorrelationOfSkewedNumbers) {
  constexpr int kRows = 20000;
  const auto z = normals(2, kRows, 0.7, 5);
  std::vector<double> skewed(kRows);
  std::vector<int64_t> counts(kRows);
  for (int row = 0; row < kRows; ++row) {
    skewed[row] = std::exp(z[0][row]);
    counts[row] = z[1][row] < 0.5 ? 0 : std::lround(100 * z[1][row]);  // two thirds are 0
  }
  const double learned = correlation(skewed, std::vector<double>(counts.begin(), counts.end()));
  const auto made = sample(*fit({real_column("skewed", skewed), integer_column("counts", counts)}), 4 * kRows).columns;
  EXPECT_NEAR(correlation(made[0], made[1]), learned, 0.05);
}

TEST(PcaModel, RecoversTheAssociationOfCategories) {
  // Two categories cut from normals: the contingency table must come back although no category shows its score.
  constexpr int kRows = 30000;
  const auto z = normals(2, kRows, 0.8, 13);
  std::vector<std::string> a, b;
  for (int row = 0; row < kRows; ++row) {
    a.push_back(level_of(z[0][row], {-0.5, 0.7}, {"p", "q", "r"}));
    b.push_back(level_of(z[1][row], {-1, 0, 1}, {"s", "t", "u", "v"}));
  }
  const auto model = fit({text_column("a", a), text_column("b", b)});
  const auto made = sample(*model, kRows).columns;
  std::map<std::pair<std::string, std::string>, double> cells;
  for (int row = 0; row < kRows; ++row) {
    cells[{a[row], b[row]}] += 1.0 / kRows;
    cells[{model->schema().columns[0].levels[static_cast<size_t>(made[0][row])],
           model->schema().columns[1].levels[static_cast<size_t>(made[1][row])]}] -= 1.0 / kRows;
  }
  ASSERT_EQ(cells.size(), 12u);
  for (const auto& [levels, difference] : cells)
    EXPECT_NEAR(difference, 0, 5 * std::sqrt(0.25 * 0.75 * 2 / kRows)) << levels.first << levels.second;
}

TEST(PcaModel, ACodeKeepsItsNumberBesideOtherColumns) {
  const auto z = normals(3, 5000, 0.6, 17);
  std::vector<std::string> name;
  std::vector<int64_t> number, skewed;
  for (size_t row = 0; row < z[0].size(); ++row) {
    const int level = std::clamp(static_cast<int>(std::floor(2 * z[0][row])) + 3, 0, 6);
    name.push_back(std::string("level ") + "dagbfce"[level]);
    number.push_back(level);
    skewed.push_back(std::lround(std::exp(2 * z[1][row])));  // its values and its scores say different things
  }
  const auto model = fit({text_column("name", name), integer_column("number", number), integer_column("skewed", skewed),
                          real_column("other", z[2])});
  const auto made = sample(*model, 20000).columns;
  int unequal = 0;
  for (size_t row = 0; row < made[0].size(); ++row)
    unequal += model->schema().columns[0].levels[static_cast<size_t>(made[0][row])].back() !=
               "dagbfce"[static_cast<int>(made[1][row])];
  EXPECT_LE(unequal, 20);
}

TEST(PcaModel, MarginalsOfCategoriesPassAChiSquareTest) {
  const auto table = mixed_table(5000);
  const auto model = fit(table);
  constexpr int64_t kRows = 100000;
  const auto made = sample(*model, kRows).columns;
  const auto& levels = model->schema().columns[1].levels;
  std::vector<double> expected(levels.size()), observed(levels.size());
  for (const std::string& text : table[1].texts)
    expected[std::find(levels.begin(), levels.end(), text) - levels.begin()] += double{kRows} / 5000;
  for (const double code : made[1]) ++observed[static_cast<size_t>(code)];
  double chi_square = 0;
  for (size_t i = 0; i < levels.size(); ++i)
    chi_square += (observed[i] - expected[i]) * (observed[i] - expected[i]) / expected[i];
  const double freedom = static_cast<double>(levels.size()) - 1;
  EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2 * freedom) + 10);
}

TEST(PcaModel, MarginalsOfNumbersPassAKolmogorovSmirnovTest) {
  // Few distinct values (amount) and, beyond kExactSegments, many (a real column).
  const auto z = normals(1, 20000, 0, 3);
  std::vector<double> heavy;
  for (const double value : z[0]) heavy.push_back(std::exp(1.5 * value));
  auto table = mixed_table(20000);
  table.push_back(real_column("heavy", heavy));
  std::vector<double> amount;
  for (const std::string& text : table[0].texts) amount.push_back(std::stod(text));
  constexpr int64_t kRows = 50000;
  const auto made = sample(*fit(table), kRows).columns;
  for (auto [learned, generated] : {std::pair{amount, made[0]}, {heavy, made.back()}}) {
    std::sort(learned.begin(), learned.end());
    std::sort(generated.begin(), generated.end());
    double distance = 0;
    for (const double value : learned) {
      const auto rank = [&](const std::vector<double>& v) {
        return static_cast<double>(std::upper_bound(v.begin(), v.end(), value) - v.begin()) /
               static_cast<double>(v.size());
      };
      distance = std::max(distance, std::abs(rank(learned) - rank(generated)));
    }
    EXPECT_LT(distance, 2.6 / std::sqrt(kRows) + 1.0 / 2048);  // 2 exp(-2 * 2.6^2) = 2.7e-6: 4.7 sigma
    EXPECT_GE(generated.front(), learned.front());
    EXPECT_LE(generated.back(), learned.back());
  }
}

TEST(PcaModel, GapsAreAsManyAndComeTogetherAndFollowOtherColumns) {
  const auto table = mixed_table(20000);
  std::vector<double> amount_all, amount_missing;
  double missing = 0;
  for (size_t row = 0; row < 20000; ++row) {
    amount_all.push_back(std::stod(table[0].texts[row]));
    if (!table[2].texts[row].empty()) continue;
    ++missing;
    amount_missing.push_back(amount_all.back());
  }
  const double share_learned = missing / 20000;
  const auto mean = [](const std::vector<double>& v) {
    return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
  };
  const auto made = sample(*fit(table), 50000).columns;
  EXPECT_NEAR(share(made[2], [](double v) { return std::isnan(v); }), share_learned,
              5 * std::sqrt(share_learned / 50000));
  std::vector<double> amount_made;
  int64_t apart = 0;
  for (size_t row = 0; row < made[2].size(); ++row) {
    apart += std::isnan(made[2][row]) != std::isnan(made[3][row]);
    if (std::isnan(made[2][row])) amount_made.push_back(made[0][row]);
  }
  EXPECT_LT(static_cast<double>(apart) / 50000, 0.1 * share_learned);  // the twin is missing with it
  const double lift_learned = mean(amount_missing) - mean(amount_all), lift_made = mean(amount_made) - mean(made[0]);
  EXPECT_NEAR(lift_made, lift_learned, 0.1 * lift_learned);
  for (const size_t column : {0, 1, 4, 9})
    EXPECT_EQ(share(made[column], [](double v) { return std::isnan(v); }), 0) << column;
  EXPECT_EQ(share(made[8], [](double v) { return std::isnan(v); }), 1);
}

TEST(PcaModel, WhatIsPresentKeepsItsDistributionBesideInformativeGaps) {
  const auto table = mixed_table(20000);
  std::map<double, double> learned, generated;
  double count = 0;
  for (const std::string& text : table[2].texts) count += !text.empty();
  for (const std::string& text : table[2].texts)
    if (!text.empty()) learned[std::stod(text)] += 1 / count;
  const auto made = sample(*fit(table), 50000).columns[2];
  count = 50000 * (1 - share(made, [](double v) { return std::isnan(v); }));
  for (const double value : made)
    if (!std::isnan(value)) generated[value] += 1 / count;
  double variation = 0, below_learned = 0, below_generated = 0;
  for (const auto& [value, share_learned] : learned) {
    below_learned += share_learned;
    below_generated += generated[value];
    variation = std::max(variation, std::abs(below_learned - below_generated));
  }
  EXPECT_LT(variation, 2.6 / std::sqrt(count) + 0.005);
}

TEST(PcaModel, LevelsAreOrderedByWhatTheyGoWith) {
  const auto z = normals(1, 5000, 0, 23);
  std::vector<std::string> level;
  std::vector<double> number;
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  for (const double value : z[0]) {
    level.push_back(level_of(value, {-1, -0.3, 0.4, 1}, {"c", "e", "a", "d", "b"}));
    number.push_back(value + normal(random));
  }
  const auto model = fit({text_column("level", level), real_column("number", number)});
  const ModelFile file = model->save();
  const auto codes = file.tensors.at("segments.base").to<int64_t>();
  std::string order;
  for (const int64_t code : codes) order += model->schema().columns[0].levels[static_cast<size_t>(code)];
  EXPECT_TRUE(order == "ceadb" || order == "bdaec") << order;
}

TEST(PcaModel, TheSameBytesWhateverTheChunksAndTheMemory) {
  const auto table = mixed_table(3000);
  const auto bytes = serialise(fit(table)->save());
  for (const int64_t chunk_rows : {1, 7, 64, 2999, 3000})
    EXPECT_EQ(serialise(fit(table, options_of("pca"), chunk_rows)->save()), bytes) << chunk_rows;
  FitOptions streaming = options_of("pca");
  streaming.memory_bytes = 200'000;  // too little to keep positions: the table is read again instead
  MemoryTable source(table, 100);
  const TableProfile profile = profile_table(source, {});
  const int passes = source.passes();
  EXPECT_EQ(serialise(fit_model(source, profile, streaming, cpu())->save()), bytes);
  EXPECT_GE(source.passes(), passes + 2);
}

TEST(PcaModel, RowsAreTheSameHoweverTheyAreSplit) {
  const auto model = fit(mixed_table(500));
  const Sampled whole = sample(*model, 1000, 42);
  for (const int64_t step : {1, 7, 8, 63, 64, 65, 512, 999}) {
    const Sampled split = sample(*model, 1000, 42, [&](int64_t) { return step; });
    EXPECT_EQ(split.bytes, whole.bytes) << step;
  }
  const Sampled tail = sample(
      *model, 100, 42, [](int64_t left) { return left; }, 900);
  for (size_t c = 0; c < whole.columns.size(); ++c)
    for (size_t row = 0; row < 100; ++row)
      EXPECT_TRUE(tail.columns[c][row] == whole.columns[c][900 + row] || std::isnan(whole.columns[c][900 + row]));
  EXPECT_NE(sample(*model, 1000, 43).bytes, whole.bytes);
}

TEST(PcaModel, SavedAndLoadedItMakesTheSameRowsAndIsSavedTheSameAgain) {
  const auto model = fit(mixed_table(1000), with_components("4"));
  const auto bytes = serialise(model->save());
  const auto loaded = load_model(parse_model_file(bytes, "m.doppel"));
  EXPECT_EQ(serialise(loaded->save()), bytes);
  EXPECT_EQ(sample(*loaded, 2000).bytes, sample(*model, 2000).bytes);
  EXPECT_EQ(loaded->describe(), model->describe());
  EXPECT_EQ(to_json(loaded->schema()), to_json(model->schema()));
}

TEST(PcaModel, GoldenRows) {
  // The model file is pinned, so that LAPACK's or libm's last bit does not matter; its rows are a promise. After a
  // change that must change them: DOPPEL_ORACLE_FOLDER=tests/golden test_engine --gtest_filter='*WritesTheTinyModel',
  // and the checksum that this test prints.
  std::ifstream file(DOPPEL_SOURCE_DIR "/tests/golden/tiny.doppel", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  ASSERT_FALSE(text.empty()) << "tests/golden/tiny.doppel is missing";
  const auto model = load_model(parse_model_file(std::as_bytes(std::span(text)), "tiny.doppel"));
  EXPECT_EQ(model_checksum(sample(*model, 10000, 2024).bytes), "d1a0387ace05793a7ae06e069085889f");
}

TEST(PcaModel, DescribesItself) {
  FitOptions options = with_components("3");
  options.target = " Amount ";
  options.seed = 9;
  const nlohmann::json json = fit(mixed_table(1000), options)->describe();
  EXPECT_EQ(json["rows"], 1000);
  EXPECT_EQ(json["target"], "amount");
  EXPECT_EQ(json["latents"], (std::vector<std::string>{"amount", "level", "gap", "twin", "flag", "date",
                                                       "gap is missing", "twin is missing"}));
  EXPECT_EQ(json["explained_variance"].size(), 3u);
  EXPECT_EQ(json["loadings"].size(), 3u);
  EXPECT_EQ(json["loadings"][0].size(), 8u);
  EXPECT_EQ(json["provenance"]["seed"], 9);
  EXPECT_EQ(json["cleaning"].size(), 10u);
  EXPECT_EQ(json["cleaning"][2]["column"], "gap");
}

TEST(PcaModel, TablesOfOneRowOneColumnOrNothingToLearn) {
  EXPECT_EQ(sample(*fit({text_column("a", {"5"})}), 10).columns[0], std::vector<double>(10, 0));  // a constant's code
  const auto gaps = sample(*fit({text_column("a", {"5", "", "5", ""})}), 4000).columns[0];
  EXPECT_NEAR(share(gaps, [](double v) { return std::isnan(v); }), 0.5, 0.04);
  EXPECT_EQ(sample(*fit({text_column("a", {"", ""}), text_column("b", {"x", "x"})}), 5).columns[1],
            std::vector<double>(5, 0));
  const auto two = sample(*fit({integer_column("a", {1, 2, 3, 5}), integer_column("b", {4, 4, 4, 7})}), 100).columns;
  for (const double value : two[1]) EXPECT_TRUE(value == 4 || value == 7);
}

TEST(PcaModel, RealsOfHugeRangeStayWithinIt) {
  std::vector<double> values;
  for (int i = 0; i < 2000; ++i) values.push_back((i % 2 ? 1 : -1) * std::pow(10, i % 600 - 300) * (1 + i));
  const auto made =
      sample(*fit({real_column("a", values), real_column("b", std::vector<double>(values.rbegin(), values.rend()))}),
             5000)
          .columns;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  for (const double value : made[0]) {
    EXPECT_GE(value, *low);
    EXPECT_LE(value, *high);
  }
}

TEST(PcaModel, StandardisedSpaceKeepsMeanDeviationCorrelationAndRange) {
  constexpr int kRows = 20000;
  const auto z = normals(2, kRows, 0.6, 29);
  std::vector<int64_t> whole;
  std::vector<double> real;
  for (int row = 0; row < kRows; ++row) {
    whole.push_back(std::lround(500 + 100 * z[0][row]));
    real.push_back(3 - 0.01 * z[1][row]);
  }
  FitOptions options = options_of("pca");
  options.space = "standardised";
  const auto made = sample(*fit({integer_column("whole", whole), real_column("real", real)}, options), kRows).columns;
  EXPECT_NEAR(correlation(made[0], made[1]), correlation(std::vector<double>(whole.begin(), whole.end()), real), 0.03);
  const double mean = std::accumulate(made[0].begin(), made[0].end(), 0.0) / kRows;
  EXPECT_NEAR(mean, 500, 5 * 100 / std::sqrt(kRows / 2));
  for (const double value : made[0]) EXPECT_EQ(value, std::round(value));
  EXPECT_LE(*std::max_element(made[1].begin(), made[1].end()), *std::max_element(real.begin(), real.end()));
}

// For tests/golden and for tests/oracle/test_models.py.
TEST(PcaModelForTheOracle, WritesTheTinyModel) {
  const char* folder = std::getenv("DOPPEL_ORACLE_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "run by hand";
  const auto bytes = serialise(fit(mixed_table(200), with_components("5"))->save());
  std::ofstream(std::string(folder) + "/tiny.doppel", std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

TEST(PcaModelForTheOracle, FitsTheNumbersThatTheScriptWrote) {
  const char* folder = std::getenv("DOPPEL_ORACLE_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "tests/oracle/test_models.py runs this";
  const auto input = nlohmann::json::parse(std::ifstream(std::string(folder) + "/numbers.json"))
                         .get<std::vector<std::vector<double>>>();
  std::vector<MemoryColumn> columns;
  for (const auto& numbers : input) columns.push_back(real_column(std::to_string(columns.size()), numbers));
  FitOptions options = options_of("pca");
  options.space = "standardised";
  const auto bytes = serialise(fit(columns, options)->save());
  std::ofstream(std::string(folder) + "/numbers.doppel", std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace
}  // namespace doppel
