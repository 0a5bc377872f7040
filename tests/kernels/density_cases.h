// Mixtures' densities and rows for tests, and the responsibilities by their definition (kernels/mixture.h) in double.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/mixture.h"

namespace doppel {

struct DensityShape {
  int64_t rows = 100, members = 20;
  int32_t variables = 3, latents = 4;
};

struct DensityCase {
  MixtureDensity density;
  std::vector<std::vector<float>> emission;  // what density.log_emission points to
  std::vector<int32_t> state;
  std::vector<float> latent;
  MixtureRows rows;
};

// Variable v has v + 2 states, the last of which the last variable's rows never have under any member. Rows have states
// before the first and after the last, too.
inline DensityCase random_density(const DensityShape& shape, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  DensityCase made;
  MixtureDensity& density = made.density;
  density.members = shape.members;
  density.variables = shape.variables;
  density.latents = shape.latents;
  const int64_t padded = padded_members(shape.members);
  const auto append = [&](std::vector<float>& to, float padding, const auto& number) {
    for (int64_t m = 0; m < padded; ++m) to.push_back(m < shape.members ? number() : padding);
  };
  append(density.base, kNoDensity, [&] { return -3 + normal(random); });
  for (int32_t v = 0; v < shape.variables; ++v) {
    std::vector<float>& table = made.emission.emplace_back();
    for (int32_t s = 0; s < v + 2; ++s) {
      const bool never = v + 1 == shape.variables && s == v + 1;
      append(table, 0, [&] { return never ? kNoDensity : -2 * std::abs(normal(random)); });
    }
  }
  for (const std::vector<float>& table : made.emission) {
    density.states.push_back(static_cast<int32_t>(static_cast<int64_t>(table.size()) / padded));
    density.log_emission.push_back(table.data());
  }
  for (int32_t i = 0; i < shape.latents; ++i)
    for (int32_t j = -1; j <= i; ++j) append(density.whitening, 0, [&] { return normal(random) + (i == j ? 2 : 0); });
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int32_t v = 0; v < shape.variables; ++v)
      made.state.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(v + 4)) - 1);
    for (int32_t j = 0; j < shape.latents; ++j) made.latent.push_back(normal(random));
  }
  made.rows = {shape.rows, made.state.data(), made.latent.data()};
  return made;
}

// A row's log density and all members' shares; shares of 0 where no member can be.
struct NaiveResponsibilities {
  double log_density;
  std::vector<double> share;
};

inline NaiveResponsibilities naive_responsibilities(const std::vector<double>& logs) {  // of the members
  const double most = *std::max_element(logs.begin(), logs.end());
  if (most < 0.5 * kNoDensity) return {-INFINITY, std::vector<double>(logs.size())};
  double total = 0;
  for (const double log : logs) total += std::exp(log - most);
  NaiveResponsibilities naive{most + std::log(total), {}};
  for (const double log : logs) naive.share.push_back(std::exp(log - naive.log_density));
  return naive;
}

inline NaiveResponsibilities naive_responsibilities(const DensityCase& made, int64_t row) {
  const MixtureDensity& density = made.density;
  const int64_t padded = padded_members(density.members);
  std::vector<double> logs;
  for (int64_t m = 0; m < density.members; ++m) {
    double sum = density.base[size_t(m)];
    for (int32_t v = 0; v < density.variables; ++v) {
      const int32_t state = made.state[size_t(row * density.variables + v)];
      if (state >= 0 && state < density.states[size_t(v)]) sum += made.emission[size_t(v)][size_t(state * padded + m)];
    }
    size_t at = size_t(m);
    for (int32_t i = 0; i < density.latents; ++i) {
      double y = density.whitening[at];
      at += size_t(padded);
      for (int32_t j = 0; j <= i; ++j, at += size_t(padded))
        y += double(density.whitening[at]) * made.latent[size_t(row * density.latents + j)];
      sum -= 0.5 * y * y;
    }
    logs.push_back(sum);
  }
  return naive_responsibilities(logs);
}

inline void expect_same(const Responsibilities& found, const Responsibilities& wanted) {
  EXPECT_EQ(found.first, wanted.first);
  EXPECT_EQ(found.member, wanted.member);
  EXPECT_EQ(found.share, wanted.share);
  EXPECT_EQ(found.log_density, wanted.log_density);
}

}  // namespace doppel
