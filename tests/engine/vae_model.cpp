// The tabular VAE: its network's gradients, its codes, and what comes out of fits of tables whose law is known.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "engine/models/score_axis.h"
#include "engine/models/vae/vae.h"
#include "engine/models/vae/vae_codes.h"
#include "engine/models/vae/vae_network.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

FitOptions with_epochs(const std::string& epochs) {
  FitOptions options = options_of("vae");
  options.epochs = epochs;
  return options;
}

TEST(VaeNetwork, GradientsAreThoseOfDifferences) {
  const VaeShape shape{{3, 2, 5}, 6, 2};
  constexpr int64_t kRows = 4;
  constexpr double kDivergence = 0.7, kStep = 1e-5, kTolerance = 1e-7;
  const std::vector<int32_t> codes = {0, 1, 4, 2, -1, 0, 1, 0, -1, 2, 1, 3};
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  std::vector<double> noise(kRows * 2);
  for (double& e : noise) e = normal(random);
  VaeNetwork<double> network(shape, 11);
  for (Parameter<double>* parameter : network.parameters())
    for (double& value : parameter->value) value += 0.1 * normal(random);  // biases, and heads of some size
  const auto loss = [&] {
    const VaeLoss sums = network.forward(codes.data(), noise.data(), kRows);
    return (sums.reconstruction + kDivergence * sums.divergence) / kRows;
  };
  loss();
  network.backward(codes.data(), noise.data(), kDivergence, kRows);
  for (Parameter<double>* parameter : network.parameters())
    for (size_t i = 0; i < parameter->value.size(); ++i) {
      const double value = parameter->value[i];
      parameter->value[i] = value + kStep;
      const double above = loss();
      parameter->value[i] = value - kStep;
      const double below = loss();
      parameter->value[i] = value;
      EXPECT_NEAR(parameter->gradient[i], (above - below) / (2 * kStep), kTolerance);
    }
}

TEST(AxisBins, EndBetweenValuesAndKeepShares) {
  LatentAxis axis;
  axis.cumulative = {0, 0.05, 0.3, 0.3, 0.65, 0.9, 1};
  const AxisBins bins(axis, 1'000'000);
  EXPECT_EQ(bins.count(), 5);  // a bin each of the values that have a share
  EXPECT_EQ(bins.bin_of(0), 0);
  EXPECT_EQ(bins.bin_of(0.0499), 0);
  EXPECT_EQ(bins.bin_of(0.05), 1);
  EXPECT_EQ(bins.bin_of(1), 4);
  EXPECT_DOUBLE_EQ(bins.place_of(0), -6);
  EXPECT_DOUBLE_EQ(bins.place_of(0.05), -6 + 12.0 / 5);
  EXPECT_DOUBLE_EQ(bins.place_of(0.175), -6 + 12 * 1.5 / 5);
  EXPECT_DOUBLE_EQ(bins.place_of(1), 6);
}

TEST(AxisBins, AreFewWhereRowsAreFew) {
  LatentAxis axis;
  for (int i = 0; i <= 1000; ++i) axis.cumulative.push_back(i / 1000.0);
  EXPECT_EQ(AxisBins(axis, 0).count(), 1);
  EXPECT_EQ(AxisBins(axis, 2 * kRowsPerBin - 1).count(), 1);
  EXPECT_EQ(AxisBins(axis, 2 * kRowsPerBin).count(), 2);
  EXPECT_EQ(AxisBins(axis, 1'000'000).count(), kMostBins);
}

// The parts of a fit that several tests look at, made once.
class VaeModelOfCurvedTable : public testing::Test {
 protected:
  static constexpr int kRows = 4400;
  static void SetUpTestSuite() {
    columns_ = new std::vector<MemoryColumn>(curved_table(kRows));
    model_ = fit(*columns_, with_epochs("40")).release();
    sampled_ = new Sampled(sample(*model_, kRows));
  }
  static void TearDownTestSuite() {
    delete sampled_;
    delete model_;
    delete columns_;
  }
  static const std::string& level(size_t column, int row) {
    return model_->schema().columns[column].levels[static_cast<size_t>(sampled_->columns[column][row])];
  }
  static inline std::vector<MemoryColumn>* columns_ = nullptr;
  static inline const Model* model_ = nullptr;
  static inline Sampled* sampled_ = nullptr;
};

TEST_F(VaeModelOfCurvedTable, KeepsDependencesThatMarginalsDoNot) {
  const auto& x = sampled_->columns[kX];
  const auto& y = sampled_->columns[kY];
  double square = 0, on_the_right_side = 0;
  for (int row = 0; row < kRows; ++row) {
    square += (y[row] - x[row] * x[row]) * (y[row] - x[row] * x[row]);
    on_the_right_side += (level(kFlag, row) == "up") == (x[row] > 0);
  }
  // y - x^2 has a deviation of 0.1 in the table and of 2 where x and y are independent; the flag is right in every row
  // of the table and in half of those.
  EXPECT_LT(std::sqrt(square / kRows), 1.2);
  EXPECT_GT(on_the_right_side / kRows, 0.93);
}

TEST_F(VaeModelOfCurvedTable, KeepsEachColumnsDistribution) {
  // Calibration counts on twice as many rows of the prior, which adds to a sample's own error. Largest distance of
  // two empirical distribution functions: 2 sqrt(1 / n) is passed by chance once in 3,000 cases.
  for (const size_t c : {kX, kY, kSpiked}) {
    std::vector<double> real = (*columns_)[c].reals, made = sampled_->columns[c];
    std::sort(real.begin(), real.end());
    std::sort(made.begin(), made.end());
    double distance = 0;
    for (const double value : real) {
      const auto below = [&](const std::vector<double>& all) {
        return static_cast<double>(std::upper_bound(all.begin(), all.end(), value) - all.begin()) / kRows;
      };
      distance = std::max(distance, std::abs(below(real) - below(made)));
    }
    EXPECT_LT(distance, 2.5 / std::sqrt(kRows)) << "column " << c;
  }
  const double spike = share(sampled_->columns[kSpiked], [](double value) { return value == 0; });
  EXPECT_NEAR(spike, 1.0 / 3, 5 * std::sqrt(0.5 / kRows));
}

TEST_F(VaeModelOfCurvedTable, ColumnsThatDetermineOneAnotherDoSoInEveryRow) {
  std::map<std::string, std::string> name_of;
  for (int row = 0; row < kRows; ++row) name_of[(*columns_)[kCode].texts[row]] = (*columns_)[kName].texts[row];
  for (int row = 0; row < kRows; ++row) ASSERT_EQ(name_of.at(level(kCode, row)), level(kName, row));
}

TEST_F(VaeModelOfCurvedTable, GapsGoWithOtherColumns) {
  double gaps_above = 0, gaps = 0;
  for (int row = 0; row < kRows; ++row)
    if (std::isnan(sampled_->columns[kGappy][row])) gaps += 1, gaps_above += sampled_->columns[kX][row] > 0;
  EXPECT_NEAR(gaps / kRows, 0.125, 5 * std::sqrt(2 * 0.125 / kRows));
  EXPECT_GT(gaps_above / gaps, 0.8);  // in the table: 1, of independent columns: a half
}

TEST_F(VaeModelOfCurvedTable, RowsAreTheSameHoweverTheyAreSplit) {
  const Sampled whole = sample(*model_, 600, 42);
  for (const int64_t step : {1, 8, 63, 64, 257})
    EXPECT_EQ(sample(*model_, 600, 42, [&](int64_t) { return step; }).bytes, whole.bytes) << step;
  EXPECT_NE(sample(*model_, 600, 43).bytes, whole.bytes);
}

TEST_F(VaeModelOfCurvedTable, ReadsWhatItWrote) {
  const std::vector<std::byte> bytes = serialise(model_->save());
  const auto again = load_model(parse_model_file(bytes, "m.doppel"));
  EXPECT_EQ(again->kind(), "vae");
  EXPECT_EQ(serialise(again->save()), bytes);
  EXPECT_EQ(again->describe(), model_->describe());
  EXPECT_EQ(sample(*again, 300).bytes, sample(*model_, 300).bytes);
}

TEST_F(VaeModelOfCurvedTable, TrainingLowersTheLoss) {
  const nlohmann::json epochs = model_->describe()["epochs"];
  ASSERT_GE(epochs.size(), 2u);
  EXPECT_LT(epochs.back()["held_out_nats_per_row"].get<double>(),
            epochs.front()["held_out_nats_per_row"].get<double>() - 1);
}

TEST(VaeModel, TheSameBytesForTheSameSeed) {
  const auto bytes = [](uint64_t seed, int64_t chunk_rows) {
    FitOptions options = with_epochs("2");
    options.seed = seed;
    return serialise(fit(curved_table(600), options, chunk_rows)->save());
  };
  const auto once = bytes(3, 1 << 20);
  EXPECT_EQ(once, bytes(3, 97));
  EXPECT_NE(once, bytes(4, 1 << 20));
}

TEST(VaeModel, TellsItsProgressAndStopsWhereThatThrows) {
  FitOptions options = with_epochs("3");
  struct Stop {};
  std::string stages;
  options.progress = [&](const std::string& stage, double share) {
    EXPECT_GE(share, 0);
    EXPECT_LE(share, 1);
    stages += stage + "; ";
  };
  fit(curved_table(300), options);
  EXPECT_NE(stages.find("nats a row"), std::string::npos) << stages;
  options.progress = [](const std::string& stage, double) {
    if (stage.starts_with("training")) throw Stop();
  };
  EXPECT_THROW(fit(curved_table(300), options), Stop);
}

TEST(VaeModel, SmallAndOddTables) {
  for (const int rows : {1, 2, 3, 17}) {
    const auto model = fit(curved_table(rows), with_epochs("2"));
    EXPECT_EQ(sample(*model, 50).columns.size(), 7u) << rows;
  }
  const auto constant = fit({text_column("a", std::vector<std::string>(40, "same"))}, with_epochs("2"));
  EXPECT_EQ(sample(*constant, 5).columns[0], std::vector<double>(5, 0));
  std::vector<std::string> key;
  for (int row = 0; row < 40; ++row) key.push_back("K" + std::to_string(7000 + 13 * row));
  EXPECT_EQ(sample(*fit({text_column("key", key)}, with_epochs("2")), 5).columns.size(), 1u);
  EXPECT_EQ(sample(*fit({text_column("a", {"", ""}), text_column("b", {"x", "x"})}, with_epochs("1")), 5).columns[1],
            std::vector<double>(5, 0));
}

TEST(VaeModel, WrongOptionsAreUsageErrors) {
  for (const char* text : {"0", "-1", "many", "1e3", "1000000", ""}) {
    EXPECT_THROW(check_fit_options(with_epochs(text)), UsageError) << text;
    FitOptions options = options_of("vae");
    options.latent = text;
    EXPECT_THROW(check_fit_options(options), UsageError) << text;
  }
  for (const auto member : {&FitOptions::members, &FitOptions::components}) {
    FitOptions options = options_of("vae");
    options.*member = "3";
    EXPECT_THROW(check_fit_options(options), UsageError);
  }
  for (const char* model : {"auto", "mixture", "pca"})
    for (const auto member : {&FitOptions::epochs, &FitOptions::latent}) {
      FitOptions options = options_of(model);
      options.*member = "3";
      EXPECT_THROW(check_fit_options(options), UsageError) << model;
    }
}

TEST(VaeModel, DamagedFilesAreRefused) {
  const ModelFile good = fit(curved_table(100), with_epochs("1"))->save();
  EXPECT_NO_THROW(load_model(good));
  const auto refused = [&](const char* what, const std::function<void(ModelFile&)>& spoil) {
    ModelFile bad = good;
    spoil(bad);
    EXPECT_THROW(load_model(bad), InputError) << what;
  };
  for (const char* name : {"prior.weight", "prior.mean", "prior.factor", "decoder.0.weight", "decoder.0.bias",
                           "decoder.2.weight", "decoder.bins"})
    refused(name, [&](ModelFile& file) { file.tensors.erase(name); });
  const auto set_first = [](Tensor& tensor, auto value) { std::memcpy(tensor.bytes.data(), &value, sizeof value); };
  for (const char* name : {"prior.mean", "prior.factor", "decoder.0.weight", "decoder.1.bias"})
    for (const float value : {NAN, INFINITY, 3e38f})
      refused(name, [&](ModelFile& file) { set_first(file.tensors[name], value); });
  for (const double weight : {0.0, -1.0, 2.0, double{NAN}})
    refused("weight", [&](ModelFile& file) { set_first(file.tensors["prior.weight"], weight); });
  refused("bins", [&](ModelFile& file) { set_first(file.tensors["decoder.bins"], int32_t{-3}); });
  refused("version", [](ModelFile& file) { file.metadata["version"] = 99; });
}

}  // namespace
}  // namespace doppel
