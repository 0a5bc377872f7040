// The table decoder on every instruction set of this machine, against a naive reference straight from the definition in
// kernels/decoder.h, to the bit.
#include "kernels/cpu/decode_table.h"

#include <gtest/gtest.h>

#include <functional>

#include "kernels/backend.h"
#include "kernels/common/error.h"
#include "tests/kernels/decoder_cases.h"

namespace doppel {
namespace {

// ---- the reference

std::vector<float> logits_of(const TableDecoder& decoder, std::vector<float> h) {
  for (size_t i = 0; i < decoder.layers.size(); ++i) {
    const DenseWeights& layer = decoder.layers[i];
    std::vector<float> y = layer.bias;
    for (size_t o = 0; o < y.size(); ++o) {
      for (size_t k = 0; k < h.size(); ++k) y[o] = std::fma(layer.weight[o * h.size() + k], h[k], y[o]);
      if (i + 1 < decoder.layers.size()) y[o] = y[o] < 0 ? 0 : y[o];
    }
    h = y;
  }
  return h;
}

int32_t choose(const float* logits, int32_t outcomes, float u) {
  const float most = *std::max_element(logits, logits + outcomes);
  std::vector<float> cumulative;
  float sum = 0;
  for (int32_t s = 0; s < outcomes; ++s)
    cumulative.push_back(sum += portable::exp_below_zero<PlainLanes>(logits[s] - most));
  int32_t outcome = 0;
  for (int32_t s = 0; s + 1 < outcomes; ++s) outcome += cumulative[size_t(s)] <= u * sum;
  return outcome;
}

SampledTable reference_of(const TableDecoder& decoder, uint64_t seed, uint64_t first_row, int64_t rows) {
  SampledTable table(decoder.table.columns.size());
  for (SampledColumn& column : table) column.validity.assign(size_t(rows + 7) / 8, 0);
  const int32_t first_block = (reference::normals_per_row(decoder.prior) + 3) / 4 + 1;
  for (int64_t i = 0; i < rows; ++i) {
    const uint64_t row = first_row + uint64_t(i);
    const auto member = reference::discrete_of_row(decoder.prior, seed, row).member;
    const auto logits = logits_of(decoder, reference::scores_of_row(decoder.prior, seed, row, member));
    int32_t word = 0;
    const auto next_uniform = [&] {
      const uint32_t bits = reference::word_of_row(seed, row, first_block + word / 4, word % 4);
      ++word;
      return static_cast<float>(bits >> 8) * 0x1p-24f;
    };
    const float* at = logits.data();
    reference::Discrete drawn;
    for (const Emission& emission : decoder.table.emissions) {
      drawn.states.push_back(choose(at, emission.states, next_uniform()));
      at += emission.states;
    }
    std::vector<float> scores;
    for (const int32_t bins : decoder.bins) {
      const auto bin = static_cast<float>(choose(at, bins, next_uniform()));
      const float place = bin + next_uniform();
      scores.push_back(std::fma(place, 12.0f / static_cast<float>(bins), -6.0f));
      at += bins;
    }
    for (size_t c = 0; c < table.size(); ++c)
      if (reference::put_cell(decoder.table.columns[c], scores, drawn, table[c]))
        table[c].validity[size_t(i) / 8] |= uint8_t(1u << (i % 8));
  }
  return table;
}

class DecodeTable : public testing::TestWithParam<InstructionSet> {
 protected:
  SampledTable sample(const TableDecoder& decoder, uint64_t seed, uint64_t first_row, int64_t rows) {
    bool survived = false;
    const auto prepared = prepare_table_decoder_on_cpu(decoder, GetParam());
    SampledTable table = sample_with(*prepared, decoder.table, seed, first_row, rows, survived);
    EXPECT_TRUE(survived) << "wrote outside its buffers, rows " << rows;
    return table;
  }
  void expect_reference(const TableDecoder& decoder, uint64_t seed, uint64_t first_row, int64_t rows) {
    const SampledTable got = sample(decoder, seed, first_row, rows);
    const SampledTable wanted = reference_of(decoder, seed, first_row, rows);
    for (size_t c = 0; c < got.size(); ++c) EXPECT_EQ(got[c], wanted[c]) << "column " << c << " rows " << rows;
  }
};

INSTANTIATE_TEST_SUITE_P(Cpu, DecodeTable, testing::ValuesIn(instruction_sets()), [](const auto& instructions) {
  std::string name = instructions.param.name;
  std::erase(name, '-');
  return name;
});

TEST_P(DecodeTable, RowsAtEverySizeBoundary) {
  const TableDecoder decoder = random_decoder({}, 1);
  for (const int64_t rows : {0, 1, 7, 8, 9, 31, 32, 33, 64, 255, 256, 257, 600}) expect_reference(decoder, 3, 11, rows);
}

TEST_P(DecodeTable, NetworksOfAllShapes) {
  for (const DecoderShape& shape : {DecoderShape{.latent = 1, .hidden = {}, .variables = 1, .axes = 1},
                                    DecoderShape{.latent = 8, .hidden = {1}, .variables = 0, .axes = 2},
                                    DecoderShape{.latent = 3, .hidden = {4, 5, 8}, .variables = 5, .axes = 5},
                                    DecoderShape{.latent = 16, .hidden = {33}, .variables = 7, .axes = 1}})
    expect_reference(random_decoder(shape, 5), 6, 7, 100);
}

TEST_P(DecodeTable, RowNumbersAcrossTheLowWord) {
  expect_reference(random_decoder({}, 2), uint64_t{1} << 40 | 5, (uint64_t{1} << 32) - 37, 300);
}

TEST_P(DecodeTable, AnySplitGivesTheSameBytes) {
  const TableDecoder decoder = random_decoder({}, 4);
  const SampledTable whole = sample(decoder, 9, 77, 520);
  for (const int64_t part : {8, 64, 200})
    for (int64_t first = 0; first < 520; first += part) {
      const SampledTable piece = sample(decoder, 9, 77 + uint64_t(first), std::min<int64_t>(part, 520 - first));
      for (size_t c = 0; c < piece.size(); ++c) {
        const size_t size = bytes_per_value(decoder.table.columns[c].storage);
        EXPECT_EQ(
            std::memcmp(piece[c].values.data(), whole[c].values.data() + size_t(first) * size, piece[c].values.size()),
            0)
            << "column " << c << " rows from " << first;
      }
    }
}

TEST(DecodeTable, FrequenciesAreTheSoftmaxes) {
  // No hidden layer and no weights: the same logits in each row.
  TableDecoder decoder = random_decoder({.latent = 2, .hidden = {}, .variables = 3, .axes = 1}, 8);
  std::fill(decoder.layers[0].weight.begin(), decoder.layers[0].weight.end(), 0.0f);
  decoder.table.columns.resize(1);
  ColumnSampler& column = decoder.table.columns[0] = ColumnSampler();
  std::mt19937_64 random(1);
  constexpr int32_t kStates = 5;  // of variable 2, after 1 and 2 states of the others
  give_states(column, 2, kStates, {StateRole::kValue}, random);
  for (int32_t s = 0; s < kStates; ++s) column.state_integer[size_t(s)] = s;
  constexpr int64_t kRows = 200'000;
  bool survived = false;
  const SampledTable made =
      sample_with(*make_backend("cpu")->prepare_table_decoder(decoder), decoder.table, 3, 0, kRows, survived);
  std::vector<double> count(kStates), weight(kStates);
  double total = 0;
  for (int32_t s = 0; s < kStates; ++s)
    total += weight[size_t(s)] = std::exp(double(decoder.layers[0].bias[size_t(3 + s)]));
  for (int64_t row = 0; row < kRows; ++row) {
    int32_t state;
    std::memcpy(&state, made[0].values.data() + size_t(row) * sizeof state, sizeof state);
    count[size_t(state)] += 1;
  }
  for (size_t s = 0; s < kStates; ++s) {
    const double p = weight[s] / total;
    EXPECT_NEAR(count[s] / kRows, p, 5 * std::sqrt(p * (1 - p) / kRows)) << "state " << s;
  }
}

TEST(ExpBelowZero, IsWithinTwoStepsOfTheExponential) {
  for (float x = 0; x > -86.9f; x = x * 1.0001f - 1e-5f) {
    const double exact = std::exp(static_cast<double>(x));
    ASSERT_NEAR(portable::exp_below_zero<PlainLanes>(x), exact, 2.4e-7 * exact) << x;
  }
  EXPECT_EQ(portable::exp_below_zero<PlainLanes>(0), 1.0f);
  EXPECT_EQ(portable::exp_below_zero<PlainLanes>(-1e30f), portable::exp_below_zero<PlainLanes>(-87));
}

TEST(CheckTableDecoder, RefusesContradictions) {
  const TableDecoder good = random_decoder({}, 1);
  EXPECT_NO_THROW(check_table_decoder(good));
  const auto refused = [&](const std::function<void(TableDecoder&)>& spoil) {
    TableDecoder bad = good;
    spoil(bad);
    EXPECT_THROW(check_table_decoder(bad), Error);
  };
  refused([](TableDecoder& d) { d.layers.clear(); });
  refused([](TableDecoder& d) { d.layers.pop_back(); });
  refused([](TableDecoder& d) { d.layers[1].weight.pop_back(); });
  refused([](TableDecoder& d) { d.layers[0].bias.push_back(0); });
  refused([](TableDecoder& d) { d.layers[0].inputs = 4; });
  refused([](TableDecoder& d) { d.layers[0].weight[3] = NAN; });
  refused([](TableDecoder& d) { d.layers[2].bias[0] = INFINITY; });
  refused([](TableDecoder& d) {
    for (DenseWeights& layer : d.layers) layer.weight[0] = 0x1p60f;
  });
  refused([](TableDecoder& d) { d.bins[1] += 1; });
  refused([](TableDecoder& d) { d.bins.pop_back(); });
  refused([](TableDecoder& d) { d.bins[0] = 0; });
  refused([](TableDecoder& d) { d.prior.member = {}; });
  refused([](TableDecoder& d) { d.prior.columns = d.table.columns; });
}

}  // namespace
}  // namespace doppel
